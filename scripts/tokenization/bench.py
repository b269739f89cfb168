def run(minilm, folder):
    pass
