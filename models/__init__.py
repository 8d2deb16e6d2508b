from models.quiet import silence_torchao

silence_torchao()
