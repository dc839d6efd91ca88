"""The administration in a real browser: with a mouse, by keyboard, without scripts, on a phone."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import staleness_of

from dservercore import sql_db
from dservercore.catalog import base_uris, groups, users
from support.world import ADMIN, CHAMPION, NOBODY, READER, RED
from web.browser import be_wide, complaints, enter, follow, needs_browser, run_scripts, until

pytestmark = needs_browser


@pytest.fixture
def ada(app: Flask, people: None, chrome: webdriver.Chrome, address: str) -> webdriver.Chrome:
    """A browser in which an administrator is signed in."""
    enter(chrome, app, address, ADMIN)
    return chrome


def button(driver: webdriver.Chrome, says: str) -> WebElement:
    """Return the button with a text, or that says it to who does not see."""
    path = f"//main//button[normalize-space()='{says}' or @aria-label='{says}']"
    return driver.find_element(By.XPATH, path)


def link(driver: webdriver.Chrome, says: str) -> WebElement:
    path = f"//main//a[normalize-space()='{says}' or @aria-label='{says}']"
    return driver.find_element(By.XPATH, path)


def heading(driver: webdriver.Chrome) -> str:
    return driver.find_element(By.TAG_NAME, "h1").text


def test_a_group_is_granted_what_was_shown_before(
    app: Flask, ada: webdriver.Chrome, address: str, register: Any
) -> None:
    register(size_in_bytes=1000)
    ada.get(f"{address}/admin")
    follow(ada, link(ada, "Groups"))
    ada.find_element(By.NAME, "group").send_keys("Imaging")
    follow(ada, button(ada, "Add the group"))
    assert heading(ada) == "Imaging"
    ada.find_element(By.NAME, "member").send_keys(NOBODY)
    member = ada.find_element(By.NAME, "member").find_element(By.XPATH, "ancestor::form//button")
    follow(ada, member)
    follow(ada, button(ada, "Add to the group"))
    follow(ada, link(ada, "Base URIs"))
    follow(ada, link(ada, RED))
    ada.find_element(By.NAME, "to").send_keys("group/Imaging")
    follow(ada, button(ada, "See what that would change"))
    preview = ada.find_element(By.CLASS_NAME, "preview").text
    assert "1 user could then find and read 1 dataset (1 kB):" in preview
    assert NOBODY in preview
    follow(ada, button(ada, "Grant"))
    assert "group/Imaging" in ada.find_element(By.CLASS_NAME, "notice").text
    with app.app_context():
        assert groups.get_group("Imaging")["search_permissions_on_base_uris"] == [RED]
    assert complaints(ada) == []


def test_a_user_is_deleted_by_keyboard_alone(app: Flask, ada: webdriver.Chrome, address: str) -> None:
    ada.get(f"{address}/admin/users/{READER}")

    def press(says: str) -> None:
        """Go to a link or a button by Tab, and follow it by Enter."""
        for _ in range(100):
            here = ada.switch_to.active_element
            if here.text.strip() == says:
                before = ada.find_element(By.TAG_NAME, "html")
                here.send_keys(Keys.ENTER)
                until(ada, staleness_of(before))
                return
            here.send_keys(Keys.TAB)
        raise AssertionError(f"Tab does not lead to {says}")

    press("Delete the user …")
    until(ada, lambda driver: heading(driver) == f"Delete {READER}?")
    press("Delete the user")
    until(ada, lambda driver: heading(driver) == "Users")
    with app.app_context():
        assert users.registered([READER]) == set()


def test_without_scripts(app: Flask, ada: webdriver.Chrome, address: str, register: Any) -> None:
    register()
    run_scripts(ada, False)
    ada.get(f"{address}/admin/users")
    ada.find_element(By.NAME, "containing").send_keys(CHAMPION)
    follow(ada, button(ada, "Search"))
    assert [row.text for row in ada.find_elements(By.CSS_SELECTOR, "tbody th")] == [CHAMPION]
    follow(ada, link(ada, CHAMPION))
    follow(ada, button(ada, "Make a link that signs the user in"))
    assert "/sign-in/link?code=" in ada.find_element(By.CSS_SELECTOR, ".once code").text
    ada.get(f"{address}/admin/base-uris/s3/red")
    follow(ada, link(ada, "Delete the base URI …"))
    ada.find_element(By.NAME, "name").send_keys(RED)
    follow(ada, button(ada, "Delete it and the registration of 1 dataset"))
    assert heading(ada) == "Base URIs"
    with app.app_context():
        assert not base_uris.is_registered(RED)


def test_a_list_follows_while_one_types(app: Flask, ada: webdriver.Chrome, address: str) -> None:
    with app.app_context():
        for number in range(60):
            users.add_user(f"user{number:02}")
        sql_db.session.commit()
    ada.get(f"{address}/admin/users")
    box = ada.find_element(By.NAME, "containing")
    box.send_keys("user4")
    until(ada, lambda driver: driver.find_element(By.CLASS_NAME, "total").text == "10 users")
    until(ada, lambda driver: "containing=user4" in driver.current_url)
    assert ada.switch_to.active_element == box
    follow(ada, link(ada, "Name"))
    shown = [row.text for row in ada.find_elements(By.CSS_SELECTOR, "tbody th")]
    assert shown == [f"user4{digit}" for digit in reversed(range(10))]
    head = ada.find_element(By.CSS_SELECTOR, "th[aria-sort]")
    assert head.get_attribute("aria-sort") == "descending"
    assert complaints(ada) == []


def test_long_names_fit_on_a_phone(app: Flask, ada: webdriver.Chrome, address: str) -> None:
    long = "s3://" + "long-name-of-a-bucket" * 30
    with app.app_context():
        users.add_user("W" * 64, display_name="W" * 255)
        groups.add_group("M" * 64)
        groups.add_member("M" * 64, "W" * 64)
        base_uris.create_base_uri(long, ["W" * 64], [])
        sql_db.session.commit()
    be_wide(ada, 320)
    pages = ["", "/users", "/groups", "/base-uris", "/audit", f"/users/{'W' * 64}", f"/groups/{'M' * 64}"]
    pages += [f"/base-uris/{long.replace('://', '/')}{query}" for query in ("", "?confirm=public")]
    for path in pages:
        ada.get(f"{address}/admin{path}")
        width = ada.execute_script("return document.documentElement.scrollWidth")
        assert width <= 320, f"/admin{path} is {width} wide"


def test_who_does_not_see_hears_what_was_found_done_and_wrong(
    ada: webdriver.Chrome, address: str, app: Flask
) -> None:
    def heard(text: str) -> None:
        until(ada, lambda driver: driver.find_element(By.ID, "said").get_attribute("textContent") == text)

    ada.get(f"{address}/admin/users")
    ada.find_element(By.ID, "containing").send_keys(CHAMPION)
    heard("1 user")
    ada.get(f"{address}/admin/users")
    ada.find_element(By.ID, "username").send_keys(CHAMPION)
    follow(ada, button(ada, "Add the user"))
    field = ada.switch_to.active_element
    assert field.get_attribute("id") == "username"
    assert field.get_attribute("aria-describedby") == "problem username-help"
    assert CHAMPION in ada.find_element(By.ID, "problem").text
    field.send_keys("new")
    follow(ada, button(ada, "Add the user"))
    heard(ada.find_element(By.CSS_SELECTOR, "main > .notice").text)
    # What has to be read before anything else is where one is.
    ada.get(f"{address}/admin/users/{CHAMPION}?grant=search&on={RED}")
    assert ada.switch_to.active_element.text == "What this would change"
    ada.get(f"{address}/admin/users/{CHAMPION}")
    follow(ada, button(ada, "Make a link that signs the user in"))
    assert ada.switch_to.active_element.text == "A link that signs the user in"
