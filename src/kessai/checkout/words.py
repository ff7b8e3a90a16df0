"""What pages for payers say, in Japanese and in English."""

from collections.abc import Mapping
from typing import Final

LANGUAGES: Final[Mapping[str, str]] = {"en": "English", "ja": "日本語"}
"""Language to its own name, as the switch shows it."""
USUAL: Final = "en"

WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "title": {"en": "Confirm your payment", "ja": "本人認証"},
    "issuer": {"en": "Simulated issuer", "ja": "テスト用カード会社"},
    "test": {"en": "Test", "ja": "テスト"},
    "ask": {
        "en": "Your card's issuer wants to be sure that it is you. Type the one-time code that was sent to your phone.",
        "ja": "カード会社による本人確認を行います。携帯電話に届いたワンタイムパスワードを入力してください。",
    },
    "hint": {
        "en": "Nothing was sent: this issuer is simulated. The right code is 1234, every other one is wrong.",
        "ja": "実際には送信されません。テスト環境では「1234」が正しく、それ以外は誤りになります。",
    },
    "merchant": {"en": "Merchant", "ja": "ご利用先"},
    "amount": {"en": "Amount", "ja": "金額"},
    "card": {"en": "Card", "ja": "カード番号"},
    "code": {"en": "One-time code", "ja": "ワンタイムパスワード"},
    "submit": {"en": "Confirm", "ja": "認証する"},
    "cancel": {"en": "Cancel", "ja": "キャンセル"},
    "wrong": {
        "en": "This code is wrong. Tries left: {left}.",
        "ja": "パスワードが正しくありません。残り{left}回入力できます。",
    },
    "empty": {"en": "Type the code.", "ja": "パスワードを入力してください。"},
    "continue": {"en": "Continue to the shop", "ja": "お店に戻る"},
    "done": {
        "en": "Thank you. You are going back to the shop.",
        "ja": "ありがとうございました。お店のページに戻ります。",
    },
    "not_done": {
        "en": "The authentication has ended without success. You are going back to the shop.",
        "ja": "本人認証が完了しませんでした。お店のページに戻ります。",
    },
    "over": {
        "en": "This authentication has ended; nothing more can be done here.",
        "ja": "この本人認証は終了しています。このページでの操作は不要です。",
    },
    "lapsed": {
        "en": "The time for this authentication has passed. Nothing was paid.",
        "ja": "本人認証の有効期限が切れました。お支払いは行われていません。",
    },
    "close": {"en": "You can close this page.", "ja": "このページは閉じて構いません。"},
    "wait": {
        "en": "Your payment is being completed. Please wait; this page looks again by itself.",
        "ja": "お支払いを処理しています。このままお待ちください。自動的に更新されます。",
    },
    "unknown": {
        "en": "There is no such page, or it is not here any more. Go back to the shop and begin again.",
        "ja": "ページが見つかりません。お店のページに戻って、もう一度お試しください。",
    },
}
"""Word to its text by language."""


def language_of(chosen: str | None, accepted: str | None) -> str:
    """The language that was chosen; else the one of the browser's list (RFC 9110, 12.5.4) that comes first."""
    if chosen in LANGUAGES:
        return str(chosen)
    best, best_weight = USUAL, 0.0
    for entry in (accepted or "").lower().split(",")[:30]:
        name, _, parameters = entry.strip().partition(";")
        language, weight = name.strip().partition("-")[0], _weight(parameters)
        if language in LANGUAGES and weight > best_weight:
            best, best_weight = language, weight
    return best


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return min(max(float(value), 0.0), 1.0)
    except ValueError:
        return 0.0
