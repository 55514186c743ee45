"""A turn: store, window, tool loop and the events that every face renders."""
