from laurel_daphne.cli import CommandLine

CommandLine.entrypoint()
