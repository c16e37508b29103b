"""Pictures: reading and writing files, sets and splits, colour, bicubic resizing, patches on the device."""
