"""The portable core, module by module and through the pipeline."""
