"""From a TFDS builder to arrays in memory, and what is done to them on the device."""
