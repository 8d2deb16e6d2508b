"""Attacks on what a session may use, on the interpreter, and on what is said to the host."""

from tests.rlm.sandbox.attack import Attack, table

# In these a success is a host that hangs, breaks or believes what is forged.
RESOURCES = table(
    "memory, time and output",
    {
        "more memory than its share": ("anyone", "import mmap\nx = mmap.mmap(-1, 192 << 20)\nprint('WON')"),
        "memory at once": ("never", "x = bytearray(10**12)"),
        "memory by and by": ("never", "kept = []\nwhile True: kept.append(bytearray(10**6))"),
        "memory in small pieces": ("never", "kept = {}\nwhile True: kept[len(kept)] = str(len(kept)) * 50"),
        "memory that is shared": ("never", "import mmap\nkept = []\nwhile True: kept.append(mmap.mmap(-1, 10**8))"),
        "one large power": ("never", "10**10**8"),
        "a loop in C": ("never", "import itertools\nall(itertools.repeat(1))"),
        "a regex that blows up": ("never", "import re\nre.match('(a+)+$', 'a' * 40 + 'b')"),
        "a loop": ("never", "while True: pass"),
        "a loop that swallows everything": (
            "never",
            "n = 0\nwhile True:\n    try:\n        while n >= 0: n += 1\n    except BaseException: pass",
        ),
        "sleep past the clock": ("never", "import time\ntime.sleep(60)"),
        "an interrupt ignored": ("never", "import signal, time\nsignal.signal(2, signal.SIG_IGN)\ntime.sleep(60)"),
        "an interrupt blocked": ("never", "import signal\nsignal.pthread_sigmask(0, {2})\nwhile True: pass"),
        "an interrupt handled": ("never", "import signal\nsignal.signal(2, lambda *_: None)\nwhile True: pass"),
        "recursion": ("never", "def f(): f()\nf()"),
        "recursion without limit": ("never", "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()"),
        "recursion in C": (
            "never",
            "import sys\nsys.setrecursionlimit(10**9)\nx = []\nfor _ in range(10**6): x = [x]\nrepr(x)",
        ),
        "a recursion bomb": ("never", "def f(): f(); f()\nwhile True:\n    try: f()\n    except RecursionError: pass"),
        "a program nested too deeply": ("never", "eval('(' * 10**5)"),
        "print for ever": ("never", "while True: print('x' * 1000)"),
        "one long line": ("never", "print('x' * 10**7)"),
        "write to the standard files for ever": ("never", "while True: os.write(1, b'x' * 9**5); os.write(2, b'y')"),
        "surrogates and NUL": ("never", "print('\\ud800\\0\\udfff')"),
        "an error of surrogates": ("never", "raise ValueError('\\ud800\\0')"),
        "an error of great length": ("never", "raise ValueError('x' * 10**7)"),
        "an error whose text never ends": (
            "never",
            "class E(BaseException):\n    def __str__(self):\n        while True: pass\nraise E",
        ),
        "an error whose text exits": (
            "never",
            "class E(BaseException):\n    def __str__(self): raise SystemExit\nraise E",
        ),
        "a value whose text never ends": (
            "never",
            "class V:\n    def __repr__(self):\n        while True: pass\nV()",
        ),
        "descriptors": ("never", "import mmap\nkept = []\nwhile True: kept.append(os.dup(0))"),
        "calls without end": ("never", "while True:\n    try: ask('x')\n    except RuntimeError: pass"),
        "a long list in a call": ("never", "ask([str(i) for i in range(10**6)])"),
        "a finaliser that never ends": (
            "never",
            "class D:\n    def __del__(self):\n        while True: pass\nx = D()\ndel x",
        ),
    },
)
INTERPRETER = table(
    "escapes within the interpreter",
    {
        "the shell by subclasses": (
            "anyone",
            "for c in ().__class__.__base__.__subclasses__():\n    if c.__name__ == '_wrap_close':\n"
            "        c.__init__.__globals__['system']('mkdir ' + FOLDER + '/made')",
        ),
        "what is behind a function": (
            "never",
            "print([getattr(c.cell_contents, '__dict__', c.cell_contents) for c in ask.__closure__])\n"
            "print(ask.__globals__.keys(), getattr(ask, '__self__', None))",
        ),
        "the frames below": (
            "never",
            "import sys\nf = sys._getframe()\nwhile f:\n    print(sorted(f.f_locals)); f = f.f_back",
        ),
        "builtins taken away": (
            "never",
            "import builtins\nfor name in ('len', 'memoryview', 'exec', 'isinstance', 'bytearray', 'getattr'):\n"
            "    setattr(builtins, name, None)",
        ),
        "the session's own code replaced": (
            "never",
            "import sys\nm = sys.modules['rlm.sandbox.inside']\n"
            "m.Line.send = lambda self, frame: os.write(3, b'\\xff' * 9)\nprint(1)",
        ),
        "a null pointer": ("never", "ctypes.string_at(0)"),
        "made-up bytecode": ("never", "f = lambda: 0\nf.__code__ = f.__code__.replace(co_code=b'\\xfe\\xff' * 9)\nf()"),
        "a trace that stays": (
            "never",
            "import sys\ndef trace(*_):\n    raise SystemExit\nsys.settrace(trace)\nsys.setprofile(trace)",
        ),
        "output that is no output": ("never", "import sys\nsys.stdout = sys.stderr = None\nsys.__stdout__ = None"),
        "a low recursion limit": ("never", "import sys\nsys.setrecursionlimit(30)"),
        "names that are needed": ("never", "ask = context = __name__ = None\ndel __builtins__"),
        "a call back at every collection": (
            "never",
            "import gc\ndef again(*_):\n    raise SystemExit\ngc.callbacks.append(again)\ngc.set_threshold(1)",
        ),
    },
)
PROTOCOL = table(
    "forged frames",
    {
        "noise": ("never", "os.write(3, b'\\xff' * 100)"),
        "a length beyond all bounds": ("never", "os.write(3, b'\\x7f\\xff\\xff\\xff{')"),
        "no JSON": ("never", "os.write(3, frame(b'{nonsense'))"),
        "no object": ("never", "os.write(3, frame(b'[1]'))"),
        "no UTF-8": ("never", 'os.write(3, frame(b\'{"printed":"\\xff\\xfe"}\'))'),
        "an unknown kind": ("never", "os.write(3, frame(b'{\"quit\":1}'))"),
        "a wrong type": ("never", "os.write(3, frame(b'{\"printed\":7}'))"),
        "nested deeply": ("never", "os.write(3, frame(b'{\"call\":' + b'[' * 10**5 + b'}'))"),
        "arguments nested deeply": (
            "never",
            "os.write(3, frame(b'{\"call\":\"ask\",\"args\":[' + b'[' * 200 + b']' * 200 + b'],\"kwargs\":{}}'))",
        ),
        "an unknown function": ("never", 'os.write(3, frame(b\'{"call":"__import__","args":["os"],"kwargs":{}}\'))'),
        "a method of a function": (
            "never",
            'os.write(3, frame(b\'{"call":"ask.__globals__","args":[],"kwargs":{}}\'))',
        ),
        "arguments of a wrong type": ("never", 'os.write(3, frame(b\'{"call":"ask","args":{},"kwargs":[]}\'))'),
        "arguments that do not fit": ("never", "ask(1, 2, 3, x=4)"),
        "a number too long": (
            "never",
            'os.write(3, frame(b\'{"call":"ask","args":[\' + b\'9\' * 9999 + b\'],"kwargs":{}}\'))',
        ),
        "a reference to nothing": (
            "never",
            'os.write(3, frame(b\'{"call":"ask","args":[{"$text":[0,5]}],"kwargs":{}}\'))',
        ),
        "a reference that is none": ("never", "ask({'$text': [0, 5]})"),
        "the end, and on it runs": ("never", "os.write(3, end(mark()))\nwhile True: pass"),
        "the end, twice": ("never", "os.write(3, end(mark()) * 2)"),
        "the end without a mark": ("never", "os.write(3, frame(b'{\"done\":null}'))"),
        "half a frame": ("never", "import time\nos.write(3, b'\\0\\0')\ntime.sleep(60)"),
        "half a frame and the end": ("never", "os.write(3, b'\\0\\0')\nos._exit(0)"),
        "answers not fetched": (
            "never",
            'while True: os.write(3, frame(b\'{"call":"ask","args":["\' + b\'x\' * 9**5 + b\'"],"kwargs":{}}\'))',
        ),
        "the socket closed": ("never", "os.close(3)"),
        "nothing said for ever": (
            "never",
            "import signal\nsignal.signal(2, signal.SIG_IGN)\nwhile True: os.read(3, 1)",
        ),
        "a frame on standard output": ("never", "os.write(1, frame(b'{\"done\":null}'))\nprint(frame(b'x'))"),
        "an exit": ("never", "import sys\nsys.exit(7)"),
        "an exit of the process": ("never", "os._exit(7)"),
        "an abort": ("never", "os.abort()"),
        "a signal to itself": ("never", "os.kill(os.getpid(), 9)"),
        "an error of no Exception": ("never", "class E(BaseException): pass\nraise E"),
        "a source with NUL": ("never", "exec('x = 1\\0')"),
    },
)
STRAINING: list[Attack] = [*RESOURCES, *INTERPRETER, *PROTOCOL]
