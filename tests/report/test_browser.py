"""The page in a real browser, from the disk: it opens, filters, pages, leads from clusters to regions to neighbours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report.browser import chromium, look
from report.page import EVIL, prepared, write

pytestmark = pytest.mark.slow  # a real browser

# How long the page may take to do what it was asked; nothing here measures time.
PATIENCE_S = 20


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    # 18 photos of three regions: two pages of chosen photos, two of all regions.
    world = prepared(tmp_path_factory.mktemp("world"), ids=EVIL, encoder="descriptors <hand-made>")
    write(world, photos=18)
    return (world.folder / "page.html").as_uri()


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with chromium() as made:
        yield made


@pytest.fixture
def page(driver: Any, address: str) -> Iterator[Page]:
    look(driver, 1280)
    driver.get("about:blank")
    driver.get_log("browser")
    driver.get_log("performance")
    yield Page(driver, address)
    assert driver.get_log("browser") == []  # neither an error nor a refusal by the page's own policy


class Page:
    def __init__(self, driver: Any, address: str) -> None:
        self.driver, self.address = driver, address

    def open(self, fragment: str = "") -> None:
        self.driver.get("about:blank")  # else a change of the fragment alone would not load anything
        self.driver.get(self.address + fragment)
        self.until("document.documentElement.classList.contains('ready')")

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script("return " + script, *arguments)

    def until(self, condition: str) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, PATIENCE_S, poll_frequency=0.02).until(lambda _: self.js(condition), condition)

    def click(self, selector: str) -> None:
        from selenium.webdriver.common.by import By

        self.driver.execute_script("arguments[0].click()", self.driver.find_element(By.CSS_SELECTOR, selector))

    def press(self, *keys: str) -> None:
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def set(self, form: str, name: str, value: str) -> None:
        """Set a control as a person does, by an event that bubbles."""
        self.driver.execute_script(
            "const one = document.querySelector(arguments[0]).elements[arguments[1]]; one.value = arguments[2];"
            "for (const kind of ['input', 'change']) one.dispatchEvent(new Event(kind, { bubbles: true }))",
            form, name, value,
        )  # fmt: skip

    def texts(self, selector: str) -> list[str]:
        """The texts of the elements that are to be seen."""
        return self.js(
            "Array.from(document.querySelectorAll(arguments[0])).filter((one) => one.checkVisibility())"
            ".map((one) => one.textContent.trim())",
            selector,
        )

    @property
    def hash(self) -> str:
        return str(self.js("decodeURIComponent(location.hash)"))

    @property
    def title(self) -> str:
        return str(self.js("document.querySelector('#gallery .title').textContent"))

    def goes_to(self, fragment: str) -> None:
        self.until(f"decodeURIComponent(location.hash) === {json.dumps(fragment)}")


def test_it_opens_from_the_disk_and_asks_for_nothing_but_itself(page: Page) -> None:
    page.open()
    asked = [json.loads(entry["message"])["message"] for entry in page.driver.get_log("performance")]
    sent = [one["params"]["request"]["url"] for one in asked if one["method"] == "Network.requestWillBeSent"]
    assert page.address in sent
    assert {url.split(":")[0] for url in sent} <= {"file", "data", "about"}
    assert [url for url in sent if url.startswith("file:")] == [page.address]
    # Every picture that was written decodes.
    sizes = page.driver.execute_async_script(
        "const done = arguments[0], all = Array.from(document.images);"
        "all.forEach((one) => { one.loading = 'eager'; });"
        "Promise.all(all.map((one) => one.decode())).then(() => done(all.map((one) => one.naturalWidth)))"
    )
    assert len(sizes) == 18 * 5 + 18
    assert min(sizes) > 0


def test_names_stay_text_in_every_view(page: Page) -> None:
    page.open("#tiny/regions?order=photo")
    assert [name for name in EVIL for _ in range(3)][:48] == page.texts("#gallery .list .name")
    for number, name in enumerate(EVIL[:8]):
        page.open(f"#tiny/region-{3 * number + 2}")
        assert page.title == name
    assert page.js("document.querySelectorAll('script:not([type])').length") == 1
    assert page.js("document.querySelectorAll('img[src=x], b').length") == 0


def test_photos_are_filtered_ordered_and_paged(page: Page) -> None:
    page.open()
    names, form = "#photos-1 .card h3", "#photos-1 form"
    first = page.texts(names)
    assert len(first) == 12
    page.click("#photos-1 .pager button[aria-label='Next page']")
    assert len(page.texts(names)) == 6
    assert not set(first) & set(page.texts(names))
    page.set(form, "text", "P1")
    assert page.texts(names) == ["p1"]
    page.set(form, "text", "")
    page.set(form, "group", "worst")
    assert page.texts("#photos-1 .badge") == ["worst"] * 6
    page.set(form, "order", "up")
    ious = [float(text.split()[1]) for text in page.texts("#photos-1 .facts span") if text.startswith("IoU")]
    assert ious == sorted(ious)


def test_from_cluster_to_region_to_neighbour_and_back(page: Page) -> None:
    page.open("#tiny/clusters")
    assert page.texts(".overview .cluster h3") == ["Cluster 0", "Cluster 1", "Cluster 2"]
    page.click(".overview .cluster h3 a")
    page.goes_to("#tiny/cluster-0")
    page.until("document.querySelectorAll('#gallery .list .tiles li').length === 6")
    assert page.texts(".summary") == ["Foreground. 6 regions in 6 photos."]
    page.click("#gallery .list .tiles a")
    page.until("location.hash.includes('region-')")
    region, name = page.hash, page.title
    assert name in EVIL
    assert page.texts(".summary") == ["Region 1 of 6"]
    near = page.texts(".nearest .name")
    # Six photos show each planted kind: the five others are nearest, and never the photo itself.
    assert sorted([*near, name]) == sorted(EVIL[EVIL.index(name) % 3 :: 3])
    assert all(text.endswith("cluster 0") for text in page.texts(".nearest .line"))
    page.click(".nearest a")
    page.until(f"decodeURIComponent(location.hash) !== {json.dumps(region)}")
    assert page.title == near[0]
    page.driver.back()
    page.goes_to(region)
    assert page.title == name
    page.driver.back()
    page.goes_to("#tiny/cluster-0")
    page.until("document.querySelectorAll('#gallery .list .tiles li').length === 6")
    page.driver.back()
    page.goes_to("#tiny/clusters")
    assert len(page.texts(".overview .cluster")) == 3


def test_regions_are_filtered_and_paged_and_the_address_says_so(page: Page) -> None:
    page.open("#tiny/clusters")
    page.set("#gallery form", "kind", "background")
    page.goes_to("#tiny/regions?kind=background")
    assert page.texts(".summary") == ["36 regions in 18 photos."]
    page.set("#gallery form", "kind", "")
    page.goes_to("#tiny/regions")
    assert len(page.texts("#gallery .list .tiles li")) == 48
    page.click("#gallery .list .pager button[aria-label='Next page']")
    page.goes_to("#tiny/regions?page=2")
    assert len(page.texts("#gallery .list .tiles li")) == 6
    assert page.texts("#gallery .list .pager span") == ["Page 2 of 2"]
    page.set("#gallery form", "order", "area")
    page.goes_to("#tiny/regions?order=area")
    shares = [float(text.split(" ")[0]) for text in page.texts("#gallery .list .line")]
    assert shares == sorted(shares, reverse=True)
    page.set("#gallery form", "text", "(touch")
    assert page.texts("#gallery .list .name") == ["$(touch x).jpg"] * 3
    page.open(page.hash)  # the link leads to the same
    assert page.texts("#gallery .list .name") == ["$(touch x).jpg"] * 3
    page.set("#gallery form", "text", "nobody")
    assert page.texts("#gallery .empty") == ["No region fits."]


def test_short_links_and_links_to_nowhere(page: Page) -> None:
    page.open("#cluster-2")
    assert page.title == "Cluster 2"
    for nowhere in ("#cluster-99", "#tiny/region-999", "#other/cluster-1", "#%E0%A4%A"):
        page.open(nowhere)
        assert len(page.texts(".overview .cluster")) == 3


def test_a_click_enlarges_and_arrows_walk(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    page.open("#tiny/region-2")
    shown = "document.querySelector('dialog.enlarged[open] figcaption').textContent"
    page.click("#photos-1 .card .enlarge")
    name = page.texts("#photos-1 .card h3")[0]
    assert page.js(shown) == f"{name}: photo"
    page.until("document.querySelector('.enlarged img').naturalWidth > 0")
    box = page.js("document.querySelector('.enlarged img').getBoundingClientRect().toJSON()")
    assert box["width"] > 700
    assert box["bottom"] <= 900
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert page.js(shown) == f"{name}: found"
    page.press(Keys.ESCAPE)
    page.until("!document.querySelector('dialog.enlarged[open]')")
    assert page.hash == "#tiny/region-2", "the keys were the picture's"


def test_filters_listen_to_change_alone(page: Page) -> None:
    """Of browsers and scripts that fill a form in without the event `input`."""
    page.open("#tiny/regions")
    fill = (
        "const one = document.querySelector(arguments[0]).elements.text; one.value = arguments[1];"
        "one.dispatchEvent(new Event('change', { bubbles: true }))"
    )
    page.driver.execute_script(fill, "#photos-1 form", "p1")
    assert page.texts("#photos-1 .card h3") == ["p1"]
    page.driver.execute_script(fill, "#gallery form", "p1")
    page.goes_to("#tiny/regions?text=p1")
    assert set(page.texts("#gallery .list .name")) == {"p1"}


def test_keys_walk_and_climb(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    page.open("#tiny/cluster-1")
    page.until("document.querySelectorAll('#gallery .list .tiles li').length === 6")
    tiles = page.js("Array.from(document.querySelectorAll('#gallery .list .tiles a'), (one) => one.hash)")
    page.js("document.querySelector('#gallery .list .tiles a').focus()")
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert page.js("document.activeElement.hash") == tiles[1]
    page.press(Keys.END)
    assert page.js("document.activeElement.hash") == tiles[5]
    page.press(Keys.HOME, Keys.ENTER)
    page.goes_to(tiles[0])
    page.press(Keys.ARROW_RIGHT)
    page.goes_to(tiles[1])
    page.press(Keys.ARROW_LEFT)
    page.goes_to(tiles[0])
    page.press(Keys.ESCAPE)
    page.goes_to("#tiny/cluster-1")
    page.press(Keys.ESCAPE)
    page.goes_to("#tiny/clusters")


def test_a_region_is_lit_where_it_lies(page: Page) -> None:
    page.open("#tiny/region-2")  # the red object of the first photo, 4 by 4 patches at (1, 2) of 10 by 8
    page.until("document.querySelector('.views canvas').dataset.drawn === 'lit'")
    inside, outside = page.js(
        "((points) => { const one = document.querySelector('.views canvas');"
        " const copy = new OffscreenCanvas(one.width, one.height).getContext('2d', { willReadFrequently: true });"
        " copy.drawImage(one, 0, 0);"
        " return points.map(([x, y]) => Array.from(copy.getImageData(x * one.width, y * one.height, 1, 1).data)) })"
        "(arguments[0])",
        [[3 / 10, 4 / 8], [8 / 10, 7 / 8]],
    )
    assert inside[0] > 150 > 110 > max(inside[1:3])  # planted (200, 60, 50)
    assert max(outside[:3]) < 80  # planted (120, 110, 90), under the veil


@pytest.mark.parametrize(("width_px", "dark"), [(390, False), (390, True), (1280, True)])
def test_nothing_runs_over_the_edge_and_the_dark_is_dark(page: Page, width_px: int, dark: bool) -> None:
    look(page.driver, width_px, dark)
    for fragment in ("", "#tiny/clusters", "#tiny/cluster-0", "#tiny/region-2"):
        page.open(fragment)
        assert page.js("document.documentElement.scrollWidth") <= width_px, fragment
    ground, ink = (page.js(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color"))
    brightness = [sum(map(int, colour.strip("rgb()").split(","))) for colour in (ground, ink)]
    assert (brightness[0] < brightness[1]) == dark


def test_every_picture_has_words_and_every_control_a_name(page: Page) -> None:
    page.open("#tiny/region-2")
    assert page.js("Array.from(document.images).every((one) => one.alt)")
    assert page.js("Array.from(document.querySelectorAll('canvas')).every((one) => one.getAttribute('aria-label'))")
    assert page.js("Array.from(document.querySelectorAll('input, select')).every((one) => one.labels.length)")


def test_without_a_script_everything_is_there(page: Page, tmp_path: Path) -> None:
    page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.driver.get("about:blank")
        page.driver.get(page.address)
        # The driver's own look at the page is no script of the page's.
        assert len(page.driver.find_elements("css selector", "#photos-1 .card")) == 18
        assert page.driver.find_element("css selector", ".overview .cluster").is_displayed()
        assert not page.driver.find_element("css selector", "#gallery form").is_displayed()
    finally:
        page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
