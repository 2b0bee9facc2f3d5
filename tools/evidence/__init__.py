"""The experiments behind the claims about the objectives; see docs/evidence/README.md.

command: the options; rows: the runs; judging: how each run is judged; store: finished lines; clone: the tools;
runner: runs what is left; gpu: pieces for a machine with a GPU; paired: statistics; tables: Markdown.
"""
