"""What a machine and an interpreter have to train with: found out by asking and by using, then judged."""
