"""One run: its settings, its folder, its length, and the processes that it is made of.

python -m json.tool OUTPUT_DIR/run.json
"""
