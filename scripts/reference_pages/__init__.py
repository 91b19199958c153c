"""The reference pages, a file a page; each offers `page()`, which returns its Markdown."""
