"""What the user named, found: folders, tables, columns, and what was left out.

python -m img2img_hub check-data --dataset facades --side_by_side
"""
