"""Take out of a run's folder what unpatched v6.0 would not have written: ``as_upstream.py TREE FOLDER``."""

from entry import enter

(folder,) = enter()

import torch  # noqa: E402
import yaml  # noqa: E402
from utils.checkpoint import load_checkpoint  # noqa: E402  (the tree's)

# v6.0's train.py: parse_opt, save_dir; and its ckpt
OPTIONS = [
    "weights", "cfg", "data", "hyp", "epochs", "batch_size", "imgsz", "rect", "resume", "nosave", "noval",
    "noautoanchor", "evolve", "bucket", "cache", "image_weights", "device", "multi_scale", "single_cls", "adam",
    "sync_bn", "workers", "project", "name", "exist_ok", "quad", "linear_lr", "label_smoothing", "patience",
    "freeze", "save_period", "local_rank", "entity", "upload_dataset", "bbox_interval", "artifact_alias",
    "save_dir",
]  # fmt: skip
KEYS = ["epoch", "best_fitness", "model", "ema", "updates", "optimizer", "wandb_id"]

with open(f"{folder}/opt.yaml") as file:
    options = yaml.safe_load(file)
assert set(OPTIONS) <= set(options), f"options that upstream has are gone: {set(OPTIONS) - set(options)}"
with open(f"{folder}/opt.yaml", "w") as file:
    yaml.safe_dump({k: options[k] for k in OPTIONS}, file, sort_keys=False)
last = f"{folder}/weights/last.pt"
checkpoint = load_checkpoint(last)
assert set(KEYS) <= set(checkpoint), f"keys that upstream has are gone: {set(KEYS) - set(checkpoint)}"
torch.save({k: checkpoint[k] for k in KEYS}, last)
