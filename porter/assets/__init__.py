"""What a run needs beside the tree: data sets made here, so that nothing has to be downloaded."""
