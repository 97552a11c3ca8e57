"""What runs came to: grouped over their seeds, as a table and as a page with pictures."""
