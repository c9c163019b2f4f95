"""What a process has only once and several rooms share: the switches of torch, and what must stay as it is."""
