"""The addresses of the ceremonies: what a browser's scripts ask, and the page that people sign in on."""
