"""Every path of the pipeline, in one place. The Snakefile asks with wildcards ("{dataset}"), commands with names."""

from __future__ import annotations

from pathlib import Path

RESOURCES = "resources"
RESULTS = "results"


def files_folder(files: str) -> str:
    """Folder that holds a dataset's fetched (or generated) files."""
    return f"{RESOURCES}/{files}"


def fetch_receipt(files: str) -> str:
    """Receipt of fetching: which archives, their checksums, the folder."""
    return f"{RESOURCES}/{files}.json"


def weights(encoder: str) -> str:
    """Receipt of an encoder's weights: source, file, checksum."""
    return f"{RESOURCES}/weights/{encoder}.json"


def settings(stage: str, job: str) -> str:
    """Resolved settings of one job of a stage, called as its log is."""
    return f"{RESULTS}/settings/{stage}/{job}.json"


def manifest(dataset: str) -> str:
    """One row an image, see `heap.data.manifest`."""
    return f"{RESULTS}/manifests/{dataset}.parquet"


def features(dataset: str) -> str:
    """Receipt of the feature store; the store itself lies in the folder of the same name next to it."""
    return f"{RESULTS}/features/{dataset}.json"


def features_part(dataset: str, part: str) -> str:
    """Receipt of one scattered part of an extraction."""
    return f"{RESULTS}/features/{dataset}.parts/{part}.json"


def seed_head(head: str, seed: str) -> str:
    """Head of one seed of a model (or of a variant of the ablation)."""
    return f"{RESULTS}/heads/{head}/seed{seed}/head.safetensors"


def seed_history(head: str, seed: str) -> str:
    """Losses and diagnostics of the training of one seed, one row every few iterations."""
    return f"{RESULTS}/heads/{head}/seed{seed}/history.csv"


def seed_survey(head: str, seed: str) -> str:
    """Saliency maps of some training photos by the head of one seed; seeds are compared by them."""
    return f"{RESULTS}/heads/{head}/seed{seed}/survey.safetensors"


def head(model: str) -> str:
    """Receipt of a model: which seed's head is used, and why; a copy of it lies in the folder of the same name."""
    return f"{RESULTS}/head/{model}.json"


def history(model: str) -> str:
    """Losses and diagnostics of the training of every seed of a model."""
    return f"{RESULTS}/head/{model}.csv"


def curves(model: str) -> str:
    """Picture of the training of every seed: losses and diagnostics over the iterations."""
    return f"{RESULTS}/head/{model}_curves.svg"


def model(model: str) -> str:
    """Receipt of a trained model's folder, which can be moved to another machine and lies next to it."""
    return f"{RESULTS}/models/{model}.json"


def found_head(model: str) -> str:
    """Weights of FOUND's linear head (a baseline), trained on the same features as the model's own head."""
    return f"{RESULTS}/found/{model}.safetensors"


def found_history(model: str) -> str:
    """Losses of the training of FOUND's head, one row every few iterations."""
    return f"{RESULTS}/found/{model}.csv"


def seeds(benchmark: str) -> str:
    """Mean and deviation of HEAP's metrics over the seeds of the training."""
    return f"{RESULTS}/{benchmark}_seeds.csv"


def seeds_details(benchmark: str) -> str:
    """What produced a table over seeds."""
    return f"{RESULTS}/{benchmark}_seeds.json"


def ablation() -> str:
    """Mean and deviation over seeds of the metrics of every variant of the training."""
    return f"{RESULTS}/ablation.csv"


def ablation_details() -> str:
    """What produced the ablation's table."""
    return f"{RESULTS}/ablation.json"


def seed_of(head: str, seed: str) -> str:
    """Name under which one seed's head stands in the place of a method; no method or model has a hyphen."""
    return f"{head}-seed{seed}"


def regions(method: str, dataset: str) -> str:
    """One row a region: image, token, area, foreground score, embedding. Method: `heap`, or a `seed_of`."""
    return f"{RESULTS}/regions/{method}/{dataset}.parquet"


def maps(method: str, dataset: str) -> str:
    """Receipt of the patch maps of a method or a `seed_of`; the arrays lie in the folder of its name."""
    return f"{RESULTS}/maps/{method}/{dataset}.json"


def clusters(dataset: str) -> str:
    """Regions with cluster, distance and nearest regions elsewhere."""
    return f"{RESULTS}/clusters/{dataset}.parquet"


def index(dataset: str) -> str:
    """FAISS index over the dataset's region embeddings."""
    return f"{RESULTS}/clusters/{dataset}.faiss"


def masks(dataset: str) -> str:
    """COCO instances of the dataset; one PNG a photo lies in the folder of the same name next to it."""
    return f"{RESULTS}/masks/{dataset}.json"


def pictures(dataset: str) -> str:
    """Receipt of a picture of each photo for people; they lie in the folder of the same name next to it."""
    return f"{RESULTS}/pictures/{dataset}.json"


def instances(dataset: str) -> str:
    """One row an object found; an indexed PNG of clusters a photo lies in the folder of the same name next to it."""
    return f"{RESULTS}/instances/{dataset}.parquet"


def method_masks(method: str, dataset: str) -> str:
    """Receipt of a baseline's masks; one PNG a photo lies in the folder of the same name next to it."""
    return f"{RESULTS}/masks/{method}/{dataset}.json"


def metrics(benchmark: str) -> str:
    """Tidy metrics, one figure a row; its `.json` says what produced it."""
    return f"{RESULTS}/{benchmark}_metrics.csv"


def metrics_details(benchmark: str) -> str:
    """What produced a metrics table: settings, versions, weights, photos skipped and why."""
    return f"{RESULTS}/{benchmark}_metrics.json"


def metrics_photos(benchmark: str) -> str:
    """Each photo's own figures behind a metrics table, one row a photo, method and variant."""
    return f"{RESULTS}/{benchmark}_photos.parquet"


def comparison(benchmark: str) -> str:
    """A metrics table for people: methods down, figures across, in Markdown."""
    return f"{RESULTS}/{benchmark}_table.md"


def report(benchmark: str) -> str:
    """Self-contained page with pictures, tables and curves; of a dataset that is no benchmark, without tables."""
    return f"{RESULTS}/report/{benchmark}.html"


def log(stage: str, name: str) -> str:
    """Log of one job."""
    return f"{RESULTS}/logs/{stage}/{name}.log"


def bench(stage: str, name: str) -> str:
    """Snakemake's time and memory measurement of one job."""
    return f"{RESULTS}/benchmarks/{stage}/{name}.tsv"


def folder_of(receipt: str | Path) -> Path:
    """Return the folder that a receipt stands for: `x/ecssd.json` speaks of `x/ecssd/`."""
    return Path(receipt).with_suffix("")
