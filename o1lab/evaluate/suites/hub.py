"""Files of a hub dataset, from the hub's own cache or downloaded."""

from __future__ import annotations

from pathlib import Path

from o1lab.errors import LabError
from o1lab.evaluate.suites.suite import HubSpec
from o1lab.paths import offline
from o1lab.text import one_line

_PARQUET = "refs/convert/parquet"
"""Where the hub itself keeps every public dataset as Parquet, a folder for each config and split."""


def hub_files(spec: HubSpec, *, fetch: bool = True) -> list[Path]:
    """The dataset's files in this machine's cache; downloaded if need be, unless O1LAB_OFFLINE forbids.

    Args:
        fetch: False takes only what is here already.

    Raises:
        LabError: they are not here and cannot be fetched.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()  # they would write across the app's screen
    wanted = list(spec.files) or [f"{spec.config}/{spec.split}/*.parquet"]
    revision = spec.revision or (None if spec.files else _PARQUET)

    def snapshot(local: bool) -> list[Path]:
        root = Path(
            snapshot_download(
                spec.id, repo_type="dataset", revision=revision, allow_patterns=wanted, local_files_only=local
            )
        )
        found = [sorted(root.glob(pattern)) for pattern in wanted]
        return [path for paths in found for path in paths] if all(found) else []

    try:
        if paths := snapshot(local=True):
            return paths
    except Exception as error:  # the hub raises its own and the system's errors for what is not in its cache
        missing: Exception | None = error
    else:
        missing = None
    if not fetch or offline():
        why = "O1LAB_OFFLINE forbids to fetch it" if offline() else "it was not to be fetched"
        raise LabError(
            f"The dataset {spec.id} is not on this machine and {why}.", "Unset O1LAB_OFFLINE.", code="offline"
        ) from missing
    try:
        paths = snapshot(local=False)
    except Exception as error:  # and httpx's for the network
        said = one_line(str(error), 160).rstrip(".")
        raise LabError(
            f"Could not fetch the dataset {spec.id} from the hub: {type(error).__name__}{': ' + said if said else ''}.",
            "Check the network and your access, or name a local file with --items FILE.",
            code="fetch",
        ) from error
    if not paths:
        raise LabError(
            f"The dataset {spec.id} has no file {', '.join(wanted)}.",
            "Name its files in the suite, or a local file with --items FILE.",
            code="fetch",
        )
    return paths
