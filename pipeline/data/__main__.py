"""``python -m pipeline.data``: look at a dataset."""

from pipeline import describe_data

if __name__ == "__main__":
    describe_data.run()
