"""The experiments behind what is claimed of the objectives; see docs/evidence/README.md.

command: the options; rows: what is run; judging: what each run is judged by; store: finished lines; clone: the tools;
runner: runs what is left; gpu: pieces for a machine with a GPU; paired: statistics; tables: Markdown.
"""
