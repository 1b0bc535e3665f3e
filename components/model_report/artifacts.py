"""What ModelReport emits."""

from tfx.types.artifact import Artifact

REPORT_FILE = "report.html"
CARD_FILE = "model_card.md"


class ModelReport(Artifact):
    """A report for people, `REPORT_FILE`, and a model card, `CARD_FILE`."""

    TYPE_NAME = "deepfm.ModelReport"
