"""The web page: ``python app.py`` serves it. One tab a file, put together by ``img2img_hub.demo.app.build_demo``."""
