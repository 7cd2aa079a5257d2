"""TRL's trainers on rows that are token ids already: `prompt_ids`, `chosen_ids`, `rejected_ids`."""


def on_ids(trainer_class):
    """`trainer_class` without its tokenizing."""

    class OnIds(trainer_class):
        def _prepare_dataset(self, dataset, *_args, **_kwargs):
            return dataset

        def tokenize_row(self, row, model=None):  # CPOTrainer's way to rows
            prompt = row["prompt_ids"]
            made = {"prompt_input_ids": prompt, "prompt_attention_mask": [1] * len(prompt)}
            for side in ("chosen", "rejected"):
                answer = row[side + "_ids"]
                made[side + "_input_ids"] = prompt + answer
                made[side + "_attention_mask"] = [1] * (len(prompt) + len(answer))
                made[side + "_labels"] = [-100] * len(prompt) + answer
            return made

    OnIds.__name__ = trainer_class.__name__
    return OnIds
