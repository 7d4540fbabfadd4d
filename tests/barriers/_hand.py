"""Who brings a page into a state: the verbs of an engine, and those that every state needs."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass

from playwright.sync_api import Error

from tests.acceptance.portal import PASSWORD
from tests.barriers._world import World
from tests.services.engines import Engine

HEIGHT = 740
WHOLE = "document.readyState === 'complete'"


@dataclass
class Hand:
    """Somebody at a browser."""

    engine: Engine
    world: World
    who: str = ""
    width: int = 1280

    def open(self, path: str) -> None:
        """A page of the portal; a whole address leads anywhere."""
        self.engine.goto(path if ":" in path.partition("/")[0] else self.world.portal.url + path)
        self.until(WHOLE)

    def click(self, css: str) -> None:
        self.engine.click(css)

    def press(self, css: str) -> None:
        """Press it by a script: it may lie below the edge, or below something else."""
        self.engine.run(f"setTimeout(() => document.querySelector({json.dumps(css)}).click()) && true")

    def type(self, css: str, text: str) -> None:
        self.engine.type(css, text)

    def fill(self, **values: str) -> None:
        """Fields by their names, all at once."""
        self.engine.run(f"""(() => {{
            for (const [name, value] of Object.entries({json.dumps(values)})) {{
                const all = [...document.getElementsByName(name)].filter((one) => one.type !== "hidden");
                const field = all.find((one) => one.checkVisibility()) ?? all[0];  // it may be folded away
                if (!field) throw new Error("no field " + name + " at " + location.pathname + ": " + document.title);
                if (field.type === "checkbox") field.checked = value === "yes";
                else field.value = value;
            }}
            return true;
        }})()""")

    def submit(self, form: str, **values: str) -> None:
        """Send a form as it is, also where the browser would not: what the server says of it is the state."""
        self.fill(**values)
        self.engine.run(f"""(() => {{
            window.isLeft = true;
            const form = document.querySelector({json.dumps(form)});
            form.noValidate = true;
            delete form.dataset.confirm;
            setTimeout(() => form.requestSubmit(form.querySelector("[type=submit]")));
            return true;
        }})()""")
        self.until(f"window.isLeft === undefined && {WHOLE}")

    def until(self, expression: str, seconds: float = 30) -> None:
        """Wait for what a script says, through the time in which one page leaves and the next comes."""
        deadline = time.monotonic() + seconds
        said: object = None
        while True:
            with contextlib.suppress(Error, AssertionError):
                said = self.engine.run(expression)
                if said is True:
                    return
            assert time.monotonic() < deadline, f"not within {seconds} s: {expression} ({said})"
            time.sleep(0.05)

    def be(self, who: str) -> None:
        """Be somebody who is signed in; "": nobody."""
        if self.who == who:
            return
        if self.who:
            self.open("/account")
            self.submit("form[action='/sign-out']")
        if who:
            self.open("/sign-in")
            self.submit("main form[action='/sign-in']", username=who, password=PASSWORD)
            self.until("document.body.classList.contains('signed-in')")
        self.who = who

    def resize(self, width: int) -> None:
        self.engine.resize(width, HEIGHT)
        self.width = width
