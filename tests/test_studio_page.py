"""The studio's page in Chromium: what a person does with mouse, keyboard and finger. A mock stands for the models."""

import base64
import json
import os
import re
import shutil
import subprocess
import threading
import zlib
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright import sync_api

from browsers import PAGE, needed, opened_browser, violations
from gridcloze import HIDDEN
from gridcloze.files.grids import Grid, read_grid, write_grid
from gridcloze.files.palettes import Palette
from gridcloze.priors import posterior, squares
from gridcloze.studio.guards import POLICY

pytestmark = pytest.mark.slow


def run(*command):
    needed(shutil.which("npm"), "npm")
    done = subprocess.run(command, cwd=PAGE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    if not (PAGE / "node_modules").exists():
        run("npm", "ci")
    out = tmp_path_factory.mktemp("page")
    run("npx", "vite", "build", "--config", "test/vite.config.ts", "--outDir", str(out))
    return out


class Handler(SimpleHTTPRequestHandler):
    """Serves the page under the contract's policy, and an API of one model that wants a token."""

    def end_headers(self):
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/api/models":
            self.answer([{"result": {"models": [MODEL]}}])
        else:
            super().do_GET()

    def do_POST(self):
        cells = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["cells"]
        if self.path.endswith("/fill"):
            self.answer([{"error": "the fill is on strike"}])
        marginals = [[[0.25, 0.75] if cell < 0 else [1.0, 0.0] for cell in row] for row in cells]
        self.answer([{"progress": 0.5}, {"result": {"marginals": marginals, "influence": cells}}])

    def answer(self, lines):
        granted = self.headers["Authorization"] == "Bearer secret"
        self.send_response(200 if granted else 401)
        self.send_header("Content-Type", "application/x-ndjson")
        self.end_headers()
        self.wfile.write("".join(json.dumps(line) + "\n" for line in lines).encode() if granted else b"{}")


SYMBOLS = [
    {"name": name, "character": one, "colour": c}
    for name, one, c in zip(("off", "on"), ".#", ("#000000", "#ffffff"), strict=True)
]
MODEL = {
    "id": "own",
    "name": "own",
    "height": 4,
    "width": 4,
    "symbols": SYMBOLS,
    "window": None,
    "prior": None,
    "side": [],
    "side_classes": [],
    "training": {},
}


@pytest.fixture(scope="module")
def origin(folder):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    with opened_browser() as browser:
        yield browser


@pytest.fixture
def browse(browser, origin):
    """Opens the page as a new visitor; fails on any request to elsewhere, and on any error in the console."""
    troubles, contexts = [], []

    def open_page(path="index.html", width=1280, dark=False, touch=False, **options):
        scheme, size = "dark" if dark else "light", {"width": width, "height": 860}
        context = browser.new_context(viewport=size, color_scheme=scheme, has_touch=touch, **options)
        contexts.append(context)

        def route(request):
            if request.request.url.startswith(origin):
                return request.continue_()
            troubles.append(request.request.url)
            return request.abort()

        context.route(lambda url: not url.startswith(("blob:", "data:")), route)
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda line: troubles.append(line.text) if line.type in ("error", "warning") else None)
        page.goto(f"{origin}/{path}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not troubles


def settled(page):
    """Waits until the first answer is there."""
    page.wait_for_selector("text=bits of uncertainty per hidden cell")
    return page


def unpacked(text):
    """The cells of a puzzle as a link or the session holds it, and what lies beneath them."""
    numbers = np.frombuffer(zlib.decompress(base64.urlsafe_b64decode(text + "=="), -15), "<u2").astype(int)
    return numbers[2:].reshape(-1, *numbers[:2]) + HIDDEN


def cells(page):
    page.wait_for_timeout(250)  # the page keeps its puzzle a moment after each stroke
    return unpacked(page.evaluate("sessionStorage.getItem('gridcloze-puzzle')"))[0]


def becomes(page, expected):
    """Whether the puzzle is what is expected, within some seconds."""
    for _ in range(20):
        kept = page.evaluate("sessionStorage.getItem('gridcloze-puzzle')")
        if kept and np.array_equal(unpacked(kept)[0], expected):
            return True
        page.wait_for_timeout(200)
    return False


def grid(page):
    return page.get_by_role("application")


def spot(page, row, column, side=16):
    box = grid(page).bounding_box()
    return box["x"] + (column + 0.5) * box["width"] / side, box["y"] + (row + 0.5) * box["height"] / side


def choose(page, name):
    page.get_by_role("radio", name=name, exact=True).check()


def preset(page, number):
    page.get_by_role("button", name=f"Puzzle {number} of the article").click()


def drag(page, *places):
    page.mouse.move(*spot(page, *places[0]))
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*spot(page, *place), steps=4)
    page.mouse.up()


def drop(page, name, content, zone="puzzle"):
    """Drops a file on the page as from a file manager."""
    transfer = page.evaluate_handle(
        """([name, bytes]) => {
            const transfer = new DataTransfer()
            transfer.items.add(new File([Uint8Array.from(atob(bytes), (one) => one.charCodeAt(0))], name))
            return transfer
        }""",
        [name, base64.b64encode(content).decode()],
    )
    page.dispatch_event("main", "dragover", {"dataTransfer": transfer})
    page.dispatch_event(f"[data-drop={zone}]", "drop", {"dataTransfer": transfer})


def saved(page, what, path):
    with page.expect_download() as download:
        page.get_by_role("button", name=f"Save {what}", exact=True).click()
    download.value.save_as(path)
    return path


def png_bytes(cells, tmp_path, palette=None, scale=5):
    write_grid(tmp_path / "own.png", Grid.from_cells(cells, palette, scale))
    return (tmp_path / "own.png").read_bytes()


def test_grid_logic_and_file_formats():
    """Grid logic, file formats, links and the seam to the server hold on their own, and all types are right."""
    run("npx", "vitest", "run")
    run("npx", "svelte-check", "--tsconfig", "./tsconfig.json", "--fail-on-warnings")


# Painting


def test_mouse_paints_lines_rectangles_and_regions(browse):
    """A drag paints every cell on its way; rectangle and region paint what they say; one undo takes back one stroke."""
    page = settled(browse())
    page.get_by_role("button", name="Clear").click()
    choose(page, "white")
    drag(page, (2, 2), (2, 9), (6, 9))
    assert (cells(page) == 1).sum() == 12
    choose(page, "Rectangle")
    choose(page, "black")
    drag(page, (10, 10), (12, 13))
    assert (cells(page)[10:13, 10:14] == 0).all()
    choose(page, "Region")
    choose(page, "Hide")
    page.mouse.click(*spot(page, 11, 11))
    assert (cells(page) != HIDDEN).sum() == 12
    choose(page, "Show")
    page.mouse.click(*spot(page, 11, 11))  # what is connected and hidden comes back where something lies beneath
    assert (cells(page) == 0).sum() == 12
    for _ in range(3):
        page.get_by_role("button", name="Undo").click()
    assert (cells(page) != HIDDEN).sum() == 12
    page.get_by_role("button", name="Redo").click()
    assert (cells(page) == 0).sum() == 12


def test_alt_picks_a_symbol(browse):
    """A click with Alt takes the ink from the grid and paints nothing."""
    page = settled(browse())
    preset(page, 3)
    before = cells(page)
    page.keyboard.down("Alt")
    page.mouse.click(*spot(page, 2, 12))
    page.keyboard.up("Alt")
    assert page.get_by_role("radio", name="white", exact=True).is_checked()
    assert (cells(page) == before).all()


def test_keyboard_alone_paints_and_reads(browse):
    """Without a mouse: cells, lines, symbols, hiding, clearing, undo; and a live region says what the cursor is on."""
    page = settled(browse())
    page.get_by_role("button", name="Clear").focus()
    page.keyboard.press("Enter")
    for _ in range(30):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.getAttribute('role')") == "application":
            break
    else:
        pytest.fail("the grid cannot be reached by Tab")
    for key in (
        "Home",
        "PageUp",
        "2",
        "Space",
        "ArrowRight",
        "Shift+ArrowRight",
        "Shift+ArrowDown",
        "1",
        "ArrowDown",
        "Enter",
    ):
        page.keyboard.press(key)
    expected = np.full((16, 16), HIDDEN)
    expected[0, :3] = expected[1, 2] = 1
    expected[2, 2] = 0
    assert (cells(page) == expected).all()
    page.wait_for_selector("[aria-live=polite]:has-text('row 2, column 2: black')", state="attached")
    page.keyboard.press("h")
    page.wait_for_selector("[aria-live=polite]:has-text('row 2, column 2: hidden, ')", state="attached")
    page.keyboard.press("s")
    assert (cells(page) == expected).all()
    page.keyboard.press("Delete")
    page.keyboard.press("s")
    expected[2, 2] = HIDDEN
    assert (cells(page) == expected).all()
    page.keyboard.press("Control+z")
    page.keyboard.press("Shift+Control+Z")
    assert (cells(page) == expected).all()


def test_one_finger_paints_and_two_zoom(browse):
    """One finger paints; when a second one lands, its stroke is taken back and the grid zooms."""
    page = settled(browse(width=390, touch=True))
    page.get_by_role("button", name="Clear").click()
    choose(page, "white")
    session = page.context.new_cdp_session(page)

    def touch(kind, *places):
        points = [
            dict(zip("xy", spot(page, *place), strict=True)) | {"id": number} for number, place in enumerate(places)
        ]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    page.evaluate("document.querySelector('[role=application]').scrollIntoView({block: 'center'})")
    touch("touchStart", (3, 3))
    touch("touchMove", (3, 8))
    touch("touchEnd")
    assert (cells(page) == 1).sum() == 6
    touch("touchStart", (8, 6))
    touch("touchMove", (8, 8))
    touch("touchStart", (8, 8), (8, 10))
    touch("touchMove", (8, 4), (8, 14))
    touch("touchEnd")
    assert (cells(page) == 1).sum() == 6
    page.touchscreen.tap(*spot(page, 15, 0))  # what is there now is not the lower left corner
    assert cells(page)[15, 0] == HIDDEN
    assert (cells(page) == 1).sum() == 7


def test_what_was_painted_survives_a_reload(browse):
    """A reload brings back the puzzle and what lies beneath its hidden cells."""
    page = settled(browse())
    preset(page, 2)
    page.mouse.click(*spot(page, 0, 0))
    before = cells(page)
    page.reload()
    settled(page)
    choose(page, "Show")
    page.mouse.click(*spot(page, 0, 0))
    after = cells(page)
    assert before[0, 0] == HIDDEN
    assert after[0, 0] == 0
    assert (before != after).sum() == 1


# Answers


def test_hover_shows_the_exact_distribution_and_influence(browse):
    """The numbers under the pointer are those of the exact posterior in Python, for model and exact answer."""
    page = settled(browse())
    preset(page, 1)
    puzzle = cells(page)
    exact = posterior(squares(16, 16)).marginals(puzzle[None], puzzle[None] == HIDDEN)[0]
    for row, column in ((9, 13), (12, 10), (0, 0)):
        page.mouse.move(*spot(page, row, column))
        page.wait_for_selector(f".title:text('row {row}, column {column}')")
        page.wait_for_timeout(100)
        shown = page.locator("tr", has_text="white").first.locator("td.number").all_inner_texts()
        assert float(shown[1].strip("<> ")) == pytest.approx(exact[row, column, 1], abs=0.001)
        assert float(shown[0].strip("<> ")) == pytest.approx(exact[row, column, 1], abs=0.02)
    page.mouse.move(*spot(page, 9, 13))
    page.wait_for_selector("text=total variation")
    hiding = page.locator(".influence .scale span").last  # the largest number on the scale
    sync_api.expect(hiding).not_to_have_text("…")


def test_fill_and_play(browse):
    """The fill has passes; the slider goes back to the puzzle, and play runs to the end."""
    page = settled(browse(reduced_motion="reduce"))
    preset(page, 5)
    choose(page, "Fill")
    page.wait_for_selector("text=The most likely fill found")
    slider = page.get_by_role("slider", name="Pass")
    slider.fill("0")
    page.get_by_role("button", name="Play the passes").click()
    sync_api.expect(slider).to_have_value(slider.get_attribute("max"), timeout=20_000)


def test_samples_are_enlarged_and_repeatable(browse, tmp_path):
    """16 samples stand as thumbnails; one that is pressed is enlarged; other numbers give other samples."""
    page = settled(browse())
    choose(page, "Samples")
    page.get_by_role("button", name="Sample 5", exact=True).click()
    page.wait_for_selector("text=Sample 5: log2 probability")
    page.get_by_role("button", name="Save", exact=True).click()
    with np.load(saved(page, "all arrays as npz", tmp_path / "one.npz")) as arrays:
        samples = arrays["samples"]
    assert samples.shape == (16, 16, 16)
    assert len(np.unique(samples, axis=0)) > 1


def test_attention_says_that_it_does_not_explain(browse):
    """Every head can be looked at, and the sentence stands next to them."""
    page = settled(browse())
    choose(page, "Attention")
    page.wait_for_selector("text=Attention does not explain the answer.")
    page.get_by_role("button", name="Layer 3, head 2").click()
    page.wait_for_selector("text=Layer 3, head 2, from the cell at hand")


def test_windows_and_other_models_stand_next_to_the_answer(browse):
    """The best that a window can know misses bits, fewer as it grows; another model can be compared too."""
    page = settled(browse())
    preset(page, 3)
    missed = []
    for size in (3, 7, 13):
        page.get_by_role("combobox", name="Compare with").select_option(f"window:{size}")
        line = page.get_by_text("No network with this window can be nearer than")
        page.wait_for_timeout(400)
        missed.append(float(line.locator("strong").inner_text().split()[0]))
    assert missed == sorted(missed, reverse=True)
    assert missed[0] > missed[-1] > 0
    page.get_by_role("combobox", name="Compare with").select_option("model:cnn-7")
    page.wait_for_selector("text=per hidden cell from the exact posterior.")


# Files and links


def test_a_link_shares_the_puzzle(browse):
    """A link opens the same puzzle elsewhere, without what lies beneath; a damaged one costs nothing."""
    page = settled(browse())
    preset(page, 4)
    puzzle = cells(page)
    page.get_by_role("button", name="Share").click()
    sync_api.expect(page.get_by_label("Link")).to_have_value(re.compile("puzzle="))
    link = page.get_by_label("Link").input_value()
    other = settled(browse(link.split("/", 3)[3]))
    assert (cells(other) == puzzle).all()
    assert (unpacked(other.evaluate("sessionStorage.getItem('gridcloze-puzzle')"))[1] == puzzle).all()
    other.evaluate("location.hash = '#puzzle=damaged'")
    other.wait_for_selector("text=The puzzle in this link is damaged")
    assert (cells(other) == puzzle).all()


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGB", "RGBA", "interlaced"])
def test_an_own_picture_comes_back_in_its_mode(browse, tmp_path, mode):
    """A dropped PNG of any mode is read as Python reads it, and its fill keeps the mode and the size."""
    truth = squares(16, 16).members[300].astype(int)
    hidden = np.random.default_rng(0).random(truth.shape) < 0.4
    image = Image.fromarray((np.where(hidden, 128, 255 * truth).astype(np.uint8)).repeat(5, 0).repeat(5, 1))
    if mode == "P":
        image = image.quantize(4)
    elif mode == "1":
        image, hidden = (
            Image.fromarray((255 * truth).astype(np.uint8).repeat(5, 0).repeat(5, 1)).convert("1"),
            np.zeros(truth.shape, bool),
        )
    elif mode != "interlaced":
        image = image.convert(mode)
    image.save(tmp_path / "own.png")
    page = settled(browse())
    drop(page, "own.png", (tmp_path / "own.png").read_bytes())
    assert becomes(page, np.where(hidden, HIDDEN, truth))
    page.get_by_role("button", name="Save", exact=True).click()
    written = Image.open(saved(page, "puzzle as PNG", tmp_path / "puzzle.png"))
    assert written.size == image.size
    assert written.mode == ("L" if mode == "1" else image.mode)
    assert (np.asarray(written.convert("RGBA")) == np.asarray(image.convert("RGBA"))).all()
    if hidden.any():
        fill = read_grid(saved(page, "fill as PNG", tmp_path / "fill.png"), Palette.default(2))
        assert fill.scale == 5
        assert (fill.cells == truth)[~hidden].all()


def test_arrays_texts_and_masks_open(browse, tmp_path):
    """npy, npz and txt files open as Python wrote them, and a second file hides cells."""
    page = settled(browse())
    truth = squares(16, 16).members[40].astype(int)
    np.save(tmp_path / "a.npy", np.asfortranarray(truth.astype(np.int64)))
    np.savez_compressed(tmp_path / "a.npz", cells=1 - truth, other=np.zeros(3))
    write_grid(tmp_path / "a.txt", Grid.from_cells(np.where(truth == 1, HIDDEN, truth), Palette.default(2)))
    for name, expected in (("a.npy", truth), ("a.npz", 1 - truth), ("a.txt", np.where(truth == 1, HIDDEN, 0))):
        drop(page, name, (tmp_path / name).read_bytes())
        assert becomes(page, expected), name
    drop(page, "a.npy", (tmp_path / "a.npy").read_bytes())
    mask = np.zeros((16, 16), np.uint8)
    mask[4:8, 4:8] = 255
    file = BytesIO()
    Image.fromarray(mask.repeat(3, 0).repeat(3, 1)).save(file, "PNG")
    assert becomes(page, truth)
    drop(page, "mask.png", file.getvalue(), "mask")
    assert becomes(page, np.where(mask > 0, HIDDEN, truth))


def test_what_is_saved_is_what_python_writes(browse, tmp_path):
    """The PNG has the mode, pixels and note of Python's, the text is the same; npz, SVG and GIF hold the answers."""
    page = settled(browse())
    preset(page, 6)
    puzzle = cells(page)
    choose(page, "Fill")
    page.wait_for_selector("text=The most likely fill found")
    page.get_by_role("button", name="Save", exact=True).click()
    ours, theirs = saved(page, "puzzle as PNG", tmp_path / "ours.png"), tmp_path / "theirs.png"
    write_grid(theirs, Grid.from_cells(puzzle, Palette.default(2), scale=16))
    with Image.open(ours) as one, Image.open(theirs) as other:
        assert (one.mode, one.info) == (other.mode, other.info)
        assert (np.asarray(one) == np.asarray(other)).all()
    write_grid(tmp_path / "theirs.txt", Grid.from_cells(puzzle, Palette.default(2)))
    assert saved(page, "puzzle as txt", tmp_path / "ours.txt").read_text() == (tmp_path / "theirs.txt").read_text()
    assert (np.load(saved(page, "puzzle as npy", tmp_path / "ours.npy")) == puzzle).all()
    fill = read_grid(saved(page, "fill as PNG", tmp_path / "fill.png")).cells
    with np.load(saved(page, "all arrays as npz", tmp_path / "all.npz")) as arrays:
        assert set(arrays) == {"fill", "samples", "marginals", "log_prob_bits"}
        assert (arrays["fill"] == fill).all()
        assert arrays["log_prob_bits"].shape == ()
        assert arrays["marginals"].shape == (16, 16, 2)
        assert arrays["marginals"].sum(axis=2) == pytest.approx(np.ones((16, 16)), abs=1e-5)
        assert (arrays["samples"] == puzzle)[:, puzzle != HIDDEN].all()
    assert (read_grid(tmp_path / "all.npz").cells == fill).all()
    with Image.open(saved(page, "fill as GIF of the passes", tmp_path / "fill.gif")) as film:
        first = np.asarray(film.convert("L"))[8::16, 8::16]
        film.seek(film.n_frames - 1)
        last = np.asarray(film.convert("L"))[8::16, 8::16]
    assert (first == np.where(puzzle == HIDDEN, 128, 255 * puzzle)).all()
    assert (last == 255 * fill).all()
    assert saved(page, "fill as SVG", tmp_path / "fill.svg").read_text().startswith("<svg")
    with Image.open(saved(page, "probabilities as PNG", tmp_path / "probabilities.png")) as image:
        assert image.size == (2 * 256 + 16, 256)


def test_a_grid_of_many_symbols_is_saved_as_python_writes_it(browse, tmp_path):
    """A grid of nine symbols is an indexed picture, with the table that Python gives it."""
    page = settled(browse())
    page.get_by_role("combobox", name="Model", exact=True).select_option(label="land · 12×12, 9 symbols")
    page.get_by_role("button", name="New puzzle").click()
    page.wait_for_selector("text=86 of 144 cells hidden")
    puzzle = cells(page)
    colours = ("000000", "e69f00", "56b4e9", "009e73", "f0e442", "0072b2", "d55e00", "cc79a7", "ffffff")
    palette = Palette(tuple((*bytes.fromhex(colour), 255) for colour in colours), "sbrmfltow")
    page.get_by_role("button", name="Save", exact=True).click()
    ours, theirs = saved(page, "puzzle as PNG", tmp_path / "ours.png"), tmp_path / "theirs.png"
    write_grid(theirs, Grid.from_cells(puzzle, palette, scale=16))
    with Image.open(ours) as one, Image.open(theirs) as other:
        assert (one.mode, one.info) == (other.mode, other.info)
        assert (np.asarray(one) == np.asarray(other)).all()
        assert one.getpalette()[:30] == other.getpalette()[:30]


def npy(array):
    file = BytesIO()
    np.save(file, array)
    return file.getvalue()


def with_side_maps(page):
    """The page with a model that has side maps, and one of each in the puzzle."""
    page.get_by_role("combobox", name="Model", exact=True).select_option(label="sided · 16×16, 2 symbols")
    page.wait_for_selector("text=filled as if these side maps were unknown: zone, depth")
    row, column = np.indices((16, 16))
    zone, depth = (row // 6).astype(np.uint8), np.hypot(row - 3, column - 12) / 4
    depth[4:8, 2:5] = np.nan
    drop(page, "both.npy", npy(np.stack([zone, depth], axis=-1)), "side")
    page.wait_for_selector("text=known in 244 of 256 cells, 0 to 4.243")
    return zone, depth


def test_side_maps_are_opened_looked_at_and_cleared(browse, tmp_path):
    """All at once or one by one; undo takes back each step; a grid of another size knows nothing of them."""
    page = settled(browse())
    preset(page, 3)
    with_side_maps(page)
    before = cells(page)
    assert not page.get_by_text("these side maps were unknown").is_visible()
    page.get_by_role("button", name="Look at zone").click()
    page.get_by_role("button", name="Clear zone").click()
    page.wait_for_selector("text=filled as if these side maps were unknown: zone")
    Image.fromarray(np.full((32, 32), 2, np.uint8)).save(tmp_path / "any.png")
    page.get_by_label("Open zone").set_input_files(tmp_path / "any.png")
    page.wait_for_selector("text=known, 2 to 2")
    drop(page, "depth.npy", npy(np.full((16, 15), 7.0)), "side")
    page.wait_for_selector("text=depth.npy: it is 16 by 15 and the grid 16 by 16 cells; both need the same size")
    drop(page, "zone.npy", npy(np.full((16, 16), 7)), "side")
    page.wait_for_selector(
        "text=zone.npy: side map 'zone' is 7 at grid 0, row 0, column 0, and in the examples 0, 1, 2"
    )
    assert page.get_by_text("known, 2 to 2").is_visible()
    assert (cells(page) == before).all()
    unknown = "filled as if these side maps were unknown: "
    for text in (unknown + "zone", "known, 0 to 2", unknown + "zone, depth"):
        page.get_by_role("button", name="Undo").click()
        sync_api.expect(page.get_by_text(text, exact=True)).to_be_visible()
    page.get_by_role("button", name="Redo").click()
    page.get_by_role("button", name="Clear", exact=True).click()
    assert page.get_by_text("known in 244 of 256 cells").is_visible()
    page.get_by_role("button", name="Share").click()
    page.wait_for_selector("text=The side maps are not in it")
    page.keyboard.press("Escape")
    drop(page, "small.npy", npy(np.zeros((8, 8), int)))
    page.wait_for_selector("text=filled as if these side maps were unknown: zone, depth")
    stack = BytesIO()
    np.savez(stack, cells=np.zeros((2, 8, 8), int), side=np.ones((2, 8, 8, 2)))
    drop(page, "stack.npz", stack.getvalue())
    page.wait_for_selector("text=known, 1 to 1")


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.png", b"no picture", "a.png: this is not a PNG picture"),
        ("a.gif", b"GIF89a", "a.gif: a grid is a file that ends in .png, .npy, .npz or .txt"),
        ("a.txt", b"..\n.", "a.txt: line 2 has 1 characters, line 1 has 2"),
        ("a.npz", b"PK", "a.npz: this npz file is damaged or truncated"),
        ("a.onnx", b"no model", "a.onnx: this is no model that gridcloze export wrote"),
    ],
)
def test_a_bad_file_is_one_line_and_costs_nothing(browse, name, content, line):
    """What is no grid and no model is named in one line, and the puzzle stays."""
    page = settled(browse())
    preset(page, 2)
    page.mouse.click(*spot(page, 5, 0))
    before = cells(page)
    drop(page, name, content)
    page.wait_for_selector(f"text={line}")
    assert (cells(page) == before).all()


def test_no_hidden_cell_is_said(browse):
    """A puzzle without hidden cells gets a line that says what to do."""
    page = settled(browse())
    preset(page, 5)
    choose(page, "Rectangle")
    choose(page, "Show")
    drag(page, (0, 0), (15, 15))
    page.wait_for_selector("text=No cell is hidden. Hide some")


def test_an_own_model_opens(browse):
    """Without a model the page says what to drop; a dropped one answers."""
    page = browse("index.html?empty")
    page.wait_for_selector("text=To get answers, drop a model here")
    drop(page, "mine.onnx", b"model")
    settled(page)
    assert "mine" in page.get_by_role("combobox", name="Model", exact=True).inner_text()


def test_a_server_answers_with_a_token(browse):
    """The token leaves the address bar and goes along as a header; what the server says is shown."""
    page = settled(browse("index.html#token=secret"))
    assert "token" not in page.url
    assert page.get_by_role("combobox", name="Model", exact=True).inner_text().startswith("own")
    page.wait_for_selector("td.number:text('0.750')")
    choose(page, "Fill")
    page.wait_for_selector("text=the fill is on strike")
    page.get_by_role("button", name="Share").click()
    assert "secret" not in page.get_by_label("Link").input_value()
    page.reload()
    settled(page)


# How it looks and feels


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 800, 390])
@pytest.mark.parametrize("view", ["Probability", "Samples", "Attention"])
def test_nothing_is_inaccessible_or_moves(browse, tmp_path, width, dark, view):
    """At every width, light and dark: axe-core finds no violation, nothing is wider than the window, nothing shifts."""
    page = settled(browse(width=width, dark=dark))
    choose(page, view)
    page.wait_for_timeout(700)
    page.evaluate(
        """() => { window.shift = 0; new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value
        }).observe({type: 'layout-shift', buffered: true}) }"""
    )
    for place in ((3, 3), (9, 13), (10, 14)):
        page.mouse.move(*spot(page, *place))
        page.wait_for_timeout(250)
    page.screenshot(
        path=Path(os.environ.get("STUDIO_SHOTS", tmp_path)) / f"{view}-{width}{'-dark' * dark}.png",
        full_page=width < 1280,
    )
    assert page.evaluate("shift") < 0.02
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (800, True), (390, False), (390, True)])
def test_side_maps_are_accessible(browse, tmp_path, width, dark):
    """As above, with a map over the puzzle."""
    page = settled(browse(width=width, dark=dark))
    with_side_maps(page)
    page.get_by_role("button", name="Look at depth").click()
    page.wait_for_timeout(500)
    path = Path(os.environ.get("STUDIO_SHOTS", tmp_path)) / f"Sides-{width}{'-dark' * dark}.png"
    page.screenshot(path=path, full_page=width < 1280)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []


@pytest.mark.parametrize("name", ["Keys", "Share", "Save"])
def test_dialogs_are_accessible(browse, name):
    """Each dialog has no violation, and Escape leads back to the button that opened it."""
    page = settled(browse(width=390))
    page.get_by_role("button", name=name, exact=True).click()
    page.wait_for_selector("dialog[open]")
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    assert page.evaluate("document.activeElement.textContent.trim()") == name
