"""Questions that every page of the console must answer well: width, contrast, names, focus."""

from typing import Any

from playwright.sync_api import Page

NARROW = {"width": 360, "height": 740}

# Elements with text of their own whose contrast (WCAG 2.2, 1.4.3) is below 4.5.
_FAINT = """
() => {
  const channels = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((one) => {
      one /= 255;
      return one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = channels(getComputedStyle(at).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.closest(":disabled, .unseen")) continue;
    const [a, b] = [light(channels(getComputedStyle(element).color)), light(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast >= 4.5) continue;
    faint.push(`${element.tagName} ${contrast.toFixed(2)}: ${element.textContent.slice(0, 40)}`);
  }
  return faint;
}
"""

# Controls without a name, headings out of order, doubled ids, tables without caption.
_UNFIT = """
() => {
  const unfit = [];
  for (const control of document.querySelectorAll("input:not([type=hidden]), select, textarea"))
    if (!control.labels.length && !control.ariaLabel) unfit.push(`no label: ${control.outerHTML}`);
  for (const one of document.querySelectorAll("button, a[href]"))
    if (!one.textContent.trim() && !one.ariaLabel) unfit.push(`no name: ${one.outerHTML}`);
  for (const table of document.querySelectorAll("table"))
    if (!table.caption) unfit.push("a table without caption");
  if (document.querySelectorAll("h1").length !== 1) unfit.push("not one h1");
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  if (new Set(ids).size !== ids.length) unfit.push(`ids stand twice: ${ids}`);
  if (!document.querySelector("nav [aria-current=page]")) unfit.push("no current area");
  if (document.querySelector("[onclick], [style], script:not([src])")) unfit.push("inline code");
  return unfit;
}
"""


def check_fits(page: Page) -> None:
    """Assert that *page* does not scroll sideways."""
    widths: Any = page.evaluate(
        "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert widths[0] <= widths[1], f"{page.url} is {widths[0]} wide on {widths[1]}"


def check_contrast(page: Page) -> None:
    """Assert that every text of *page* stands out by at least 4.5 to 1."""
    faint: Any = page.evaluate(_FAINT)
    assert faint == [], f"{page.url}: {faint}"


def check_form(page: Page) -> None:
    """Assert labels, names, captions, one heading, one current area, no inline code."""
    unfit: Any = page.evaluate(_UNFIT)
    assert unfit == [], f"{page.url}: {unfit}"
