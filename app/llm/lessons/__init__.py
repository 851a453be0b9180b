"""The book's steps, one idea a file, to be read beside it; the service itself runs `app.llm.model`.

Names of layers are the book's, and layers are made in its order, so that its seeds draw its numbers.
"""
