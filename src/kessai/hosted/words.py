"""What the hosted payment page says, in Japanese and in English."""

from collections.abc import Mapping
from typing import Final

WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "title": {"en": "Pay by card", "ja": "カードでのお支払い"},
    "test": {"en": "Test: nothing is charged", "ja": "テスト（請求されません）"},
    "language": {"en": "Language", "ja": "言語"},
    "total": {"en": "Amount", "ja": "お支払い金額"},
    "reference": {"en": "Order", "ja": "注文番号"},
    "amount": {"en": "How much do you pay?", "ja": "お支払い金額を入力してください"},
    "next": {"en": "Continue", "ja": "次へ進む"},
    "change": {"en": "Change the amount", "ja": "金額を変更する"},
    "card": {"en": "Card", "ja": "カード情報"},
    "number": {"en": "Card number", "ja": "カード番号"},
    "expiry": {"en": "Good through (month/year)", "ja": "有効期限（月/年）"},
    "cvc": {"en": "Security code", "ja": "セキュリティコード"},
    "cvc_hint": {
        "en": "3 digits on the back; 4 on the front of American Express",
        "ja": "裏面の3桁（アメックスは表面の4桁）",
    },
    "name": {"en": "Name on the card", "ja": "カード名義人"},
    "email": {"en": "E-mail address", "ja": "メールアドレス"},
    "option": {"en": "How you pay", "ja": "お支払い方法"},
    "one-time": {"en": "One payment", "ja": "一括払い"},
    "installments": {"en": "{count} installments", "ja": "分割{count}回払い"},
    "bonus": {"en": "With the bonus", "ja": "ボーナス一括払い"},
    "revolving": {"en": "Revolving", "ja": "リボ払い"},
    "schedule": {"en": "What is expected to be billed", "ja": "お支払い予定"},
    "month": {"en": "Day", "ja": "お支払日"},
    "billed": {"en": "Amount", "ja": "金額"},
    "sum": {"en": "Total", "ja": "合計"},
    "expected": {
        "en": "Your card company's statement decides; days and fees may differ.",
        "ja": "お支払日・手数料はカード会社により異なります。カード会社のご利用明細が優先されます。",
    },
    "keeps": {
        "en": "{shop} keeps this card for later payments. Its security code is kept by nobody.",
        "ja": "{shop}が今後のお支払いのためにこのカードを登録します。セキュリティコードは保存されません。",
    },
    "wallet": {
        "en": "{wallet} is not connected to this test shop. Pay by card instead.",
        "ja": "このテスト店舗では{wallet}をご利用いただけません。カードでお支払いください。",
    },
    "pay": {"en": "Pay {sum}", "ja": "{sum}を支払う"},
    "cancel": {"en": "Cancel and go back to the shop", "ja": "キャンセルしてお店に戻る"},
    "safe": {
        "en": "Your card's number goes to this payment page only, not to the shop.",
        "ja": "カード番号はこの決済ページにのみ送信され、お店には渡りません。",
    },
    "back": {"en": "Back to the shop", "ja": "お店に戻る"},
    "close": {"en": "You can close this page.", "ja": "このページは閉じて構いません。"},
    # ---- what is wrong
    "check": {"en": "Nothing was paid yet. Please check:", "ja": "まだお支払いは完了していません。ご確認ください。"},
    "bad_number": {
        "en": "This is not a card number. Compare it with your card.",
        "ja": "カード番号が正しくありません。カードをご確認ください。",
    },
    "bad_expiry": {
        "en": "Type month and year as on the card, such as 12/31; a card that has expired cannot pay.",
        "ja": "有効期限をカードのとおり入力してください（例：12/31）。期限切れのカードは使えません。",
    },
    "bad_cvc": {
        "en": "This security code has not the right length.",
        "ja": "セキュリティコードの桁数が正しくありません。",
    },
    "bad_name": {"en": "Type the name as it stands on the card.", "ja": "カードに記載の名義人を入力してください。"},
    "bad_email": {"en": "Type an e-mail address.", "ja": "メールアドレスを入力してください。"},
    "bad_amount": {
        "en": "Type an amount greater than zero, such as {example}.",
        "ja": "0より大きい金額を入力してください（例：{example}）。",
    },
    "bad_option": {
        "en": "This card or amount cannot be paid in this way. Choose another one.",
        "ja": "このカードまたは金額ではご利用になれないお支払い方法です。別の方法をお選びください。",
    },
    "bad_again": {
        "en": "Type it again: card numbers are not shown again.",
        "ja": "もう一度入力してください（再表示されません）。",
    },
    "refused": {
        "en": "This card cannot be used here. Nothing was paid; try another card.",
        "ja": "このカードはご利用いただけません。お支払いは行われていません。別のカードをお試しください。",
    },
    "declined": {
        "en": "The card was declined. Nothing was paid. Try again or use another card; tries left: {left}.",
        "ja": "カードが承認されませんでした。お支払いは行われていません。"
        "再度お試しいただくか、別のカードをご利用ください（残り{left}回）。",
    },
    "busy": {
        "en": "Nothing was paid. Please try again in a moment.",
        "ja": "お支払いは行われていません。しばらくしてからもう一度お試しください。",
    },
    # ---- ends
    "paid": {"en": "Thank you. This has been paid.", "ja": "お支払いは完了しています。ありがとうございました。"},
    "failed": {
        "en": "The card was declined too often. Nothing was paid, and this page takes no other card.",
        "ja": "カードが承認されませんでした。お支払いは行われていません。このページではお支払いいただけません。",
    },
    "cancelled": {"en": "Cancelled. Nothing was paid.", "ja": "キャンセルしました。お支払いは行われていません。"},
    "unclear": {
        "en": "The card company did not answer in time. Do not pay again: the shop will tell you. A payment that is "
        "not confirmed is released.",
        "ja": "カード会社から応答がありませんでした。重ねてお支払いにならず、お店にご確認ください。"
        "確認できないお支払いは取り消されます。",
    },
    "expired": {
        "en": "The time for this payment has passed. Nothing was paid. Ask the shop for a new link.",
        "ja": "お支払いの有効期限が切れました。お支払いは行われていません。お店に新しいリンクをご依頼ください。",
    },
    "unknown": {
        "en": "There is no such payment page, or it is not here any more. Ask the shop for a new link.",
        "ja": "お支払いページが見つかりません。お店に新しいリンクをご依頼ください。",
    },
    "pending": {
        "en": "A payment was begun and waits for its confirmation by the card company. It can be confirmed for half an "
        "hour; if it is not, nothing is paid.",
        "ja": "お支払いはカード会社の本人認証待ちです。30分以内に認証されない場合、お支払いは行われません。",
    },
    "wait": {
        "en": "Your payment is being made. Please wait; this page looks again by itself.",
        "ja": "お支払いを処理しています。このままお待ちください。自動的に更新されます。",
    },
}
"""Word to its text by language. `{}` of a text is filled in where it is shown."""
