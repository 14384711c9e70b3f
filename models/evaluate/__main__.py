"""Recomputes the figures of the committed weights: `python -m models.evaluate` writes `models/results/*.json`."""

from models.evaluate import face, text, voice


def main() -> None:
    for modality in (face, voice, text):
        print(f"== {modality.__name__.rsplit('.', 1)[-1]}")
        modality.main()


if __name__ == "__main__":
    main()
