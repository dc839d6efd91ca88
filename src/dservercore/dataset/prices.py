"""Prices of storage: what one may be, in which currency, and what something costs by it."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

#: Bytes that a price is for.
TB = 10**12

#: Digits of a price before and after the point.
MAX_DIGITS, MAX_PLACES = 12, 4

# Those of ISO 4217, without funds and metals.
_CODES = """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD
    CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ
    GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR
    LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN
    PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB
    TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW
    ZWG
"""
CURRENCIES = frozenset(_CODES.split())


def checked_price(value: Any) -> str:
    """Return a price in the one form in which it is stored: ``45``, ``45.5``.

    :param value: a number or a text
    :raises ValueError: if it is none; the message says what it must be
    """
    try:
        # By way of its text, a float is the number that somebody wrote.
        price = Decimal(str(value).strip()) if not isinstance(value, bool) else None
    except InvalidOperation:
        price = None
    if price is None or not price.is_finite() or price < 0 or price >= 10**MAX_DIGITS:
        raise ValueError(
            f"must be a number of at least 0, with up to {MAX_DIGITS} digits, such as 45 or 45.50"
        )
    rounded = price.quantize(Decimal(1).scaleb(-MAX_PLACES))
    if rounded != price:
        raise ValueError(f"must not have more than {MAX_PLACES} digits behind the point")
    return plain(rounded)


def checked_currency(value: Any) -> str:
    """Return a currency as ISO 4217 calls it.

    :param value: a text, in upper or lower case
    :raises ValueError: if it is none; the message says what it must be
    """
    code = value.strip().upper() if isinstance(value, str) and len(value) < 10 else ""
    if code not in CURRENCIES:
        raise ValueError("must be the code of a currency in ISO 4217, such as EUR or USD")
    return code


def plain(number: Decimal) -> str:
    """Return a decimal number without an exponent, and without zeros at its end behind the point."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def cost(size_in_bytes: int, price_per_tb: str) -> Decimal:
    """Return what bytes cost a year, to a hundredth.

    :param price_per_tb: a year, as :func:`checked_price` returns it
    """
    exact = Decimal(size_in_bytes) * Decimal(price_per_tb) / TB
    return exact.quantize(Decimal("0.01"), ROUND_HALF_UP)
