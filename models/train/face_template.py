"""The mean face and the weights of the face cues, from FER+ training images: `python -m models.train.face_template`.

Finds the mesh of each image, enlarged four times with a border, and prints the numbers that stand in
`sidecar/media/face_crop.py` (five points), `face_pose.py` (mean head) and `face_cues.py` (smile, furrow, medians).
"""

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from models.convert.mediapipe import MODELS
from models.datasets import ferplus
from sidecar.affine import Region, resample
from sidecar.faces import Eyes, FaceLandmarks
from sidecar.inference.blazeface import FaceDetector
from sidecar.inference.face_mesh import FaceMesh
from sidecar.inference.iris import IrisTracker
from sidecar.inference.local import OrtModel
from sidecar.inference.manifest import read_manifest
from sidecar.media.face_crop import five_points
from sidecar.media.face_cues import (
    brow_shape,
    eye_aspect_ratio,
    iris_offset,
    lips_apart,
    mesh_eye_aspect_ratio,
    mouth_shape,
)
from sidecar.media.face_pose import RIGID, similarity

SIDE, BORDERED, ENLARGED = 48, 96, 384
MIDLINE = 9  # the first rigid points; then seven of the right side and their mirror images
MIRROR = [*range(MIDLINE), *range(MIDLINE + 7, MIDLINE + 14), *range(MIDLINE, MIDLINE + 7)]

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Found:
    face: FaceLandmarks  # in pixels of the 48 px image
    eyes: Eyes
    label: int
    votes: int
    """For the label, of ten."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=4000, help="images to read")
    found = collect(parser.parse_args().count)
    print(f"{len(found)} faces")
    print("TEMPLATE", symmetric_five(np.median([five_points(each.face) for each in found], axis=0)).tolist())
    head = mean_head([each.face.points[RIGID].astype(np.float64) for each in found])
    print("_MEAN_MIDLINE", head[:MIDLINE, 1:].round(4).tolist())
    print("_MEAN_RIGHT", head[MIDLINE : MIDLINE + 7].round(4).tolist())
    turned = [turn(each.face, head) for each in found]
    labels = np.array([each.label if each.votes >= 5 else -1 for each in found])
    fit("SMILE", np.array([mouth_shape(points) for points in turned]), labels, (1,), (0, 2, 3, 4, 5, 6, 7))
    fit("FURROW", np.array([brow_shape(points) for points in turned]), labels, (4, 5), (0, 1, 3))
    print_medians(found, turned, labels)


def collect(count: int) -> list[Found]:
    """Meshes and eyes of the images in which the networks find a face."""
    specs = {spec.name: spec for spec in read_manifest(MODELS)}
    networks = [OrtModel(specs[name], MODELS / specs[name].file) for name in ("blazeface", "face-mesh", "iris")]
    detector, mesh, iris = FaceDetector(networks[0]), FaceMesh(networks[1]), IrisTracker(networks[2])
    corpus, found = ferplus.load("train"), []
    order = np.random.default_rng(0).permutation(len(corpus.images))[:count]
    for index in tqdm(order, mininterval=10):
        grey = np.repeat(corpus.images[index][:, :, None], 3, axis=2)
        frame = Region(SIDE / 2, SIDE / 2, BORDERED)
        rgb = resample(grey, frame, ENLARGED).astype(np.uint8)
        boxes = detector.detect(rgb)
        face = mesh.landmarks(rgb, mesh.landmarks(rgb, boxes[0]).box) if boxes else None
        if face is not None and face.presence > 0.9:
            votes = corpus.votes[index][: len(ferplus.LABELS)]
            small = FaceLandmarks(frame.to_picture(face.points, ENLARGED), face.presence)
            found.append(Found(small, iris.eyes(rgb, face), int(votes.argmax()), int(votes.max())))
    return found


def symmetric_five(points: Points) -> Points:
    """The five points made the mean of themselves and their mirror image, to a hundredth of a pixel."""
    mirrored = points[[1, 0, 2, 4, 3]] * [-1, 1] + [SIDE, 0]
    result: Points = ((points + mirrored) / 2).round(2)
    return result


def mean_head(heads: list[Points]) -> Points:
    """Generalised Procrustes mean of the rigid points (Gower 1975), symmetric, in distances between the eyes."""
    sizes = [head / np.sqrt(np.square(head - head.mean(axis=0)).sum()) for head in heads]
    mean = _symmetric(np.mean([head - head.mean(axis=0) for head in sizes], axis=0))
    for _ in range(6):
        fitted = []
        for head in heads:
            scale, rotation, shift = similarity(head, mean)
            fitted.append(scale * head @ rotation.T + shift)
        mean = _symmetric(np.mean(fitted, axis=0))
        mean /= np.sqrt(np.square(mean).sum())
    right, left = mean[MIDLINE : MIDLINE + 2].mean(axis=0), mean[MIDLINE + 7 : MIDLINE + 9].mean(axis=0)
    result: Points = mean / np.linalg.norm(left - right)
    return result


def _symmetric(head: Points) -> Points:
    both: Points = (head + head[MIRROR] * [-1, 1, 1]) / 2
    centred: Points = both - both.mean(axis=0)
    return centred


def turn(face: FaceLandmarks, head: Points) -> Points:
    points = face.points.astype(np.float64)
    scale, rotation, shift = similarity(points[RIGID], head)
    return scale * points @ rotation.T + shift


def fit(name: str, shapes: Points, labels: NDArray[np.int64], yes: tuple[int, ...], no: tuple[int, ...]) -> None:
    """Print the weights that tell the labels `yes` from `no`, and how well they do."""
    kept = np.isin(labels, yes + no)
    x, y = shapes[kept], np.isin(labels, yes)[kept]
    model = LogisticRegression(C=100, class_weight="balanced").fit(x, y)
    weights = [*model.coef_[0], model.intercept_[0]]
    scores = model.decision_function(x)
    print(name, np.round(weights, 3).tolist(), f"AUROC {roc_auc_score(y, scores):.3f}, n {len(y)}")
    neutral = np.median(scores[labels[kept] == 0])
    print(f"  median score of neutral faces {neutral:.2f}, upper quartile of {yes} {np.percentile(scores[y], 75):.2f}")


def print_medians(found: list[Found], turned: list[Points], labels: NDArray[np.int64]) -> None:
    neutral = np.flatnonzero(labels == 0)
    iris = np.array([(eye_aspect_ratio(each.eyes.right) + eye_aspect_ratio(each.eyes.left)) / 2 for each in found])
    mesh = np.array([mesh_eye_aspect_ratio(points) for points in turned])
    by_iris, by_mesh = np.median(iris[neutral]), np.median(mesh[neutral])
    print(f"eye aspect ratio of neutral faces: iris {by_iris:.3f}, mesh {by_mesh:.3f}")
    print("eye aspect ratio, 1st and 5th percentile by iris:", np.percentile(iris, [1, 5]).round(3).tolist())
    print(f"opening of neutral mouths: {np.median([lips_apart(turned[index]) for index in neutral]):.3f}")
    down = [iris_offset(each.eyes.right, 1.0)[1] for each in found]
    print(f"iris below the line of the eye's corners, median: {np.median(down):.3f}")


if __name__ == "__main__":
    main()
