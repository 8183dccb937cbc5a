"""ringsync: synchronous data-parallel training for Python that people can live with."""
