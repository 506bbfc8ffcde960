"""The experiment of the article: BERT beside convolutional networks, and what Bayes says of every window."""
