"""Talks to the host in safe mode through wechatpy's WeChatCrypto."""

import hashlib
import random
import string
import sys
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET

from wechatpy.crypto import WeChatCrypto

LETTERS = string.ascii_letters + string.digits
TEXTS = ["hi", "我是中文abcd123", "x" * 31, "八" * 600, "<&>\" ' \U0001f426"]


def word(alphabet, length):
    return "".join(random.choice(alphabet) for _ in range(length))


def accounts(count):
    for _ in range(count):
        print(word(LETTERS, random.randint(3, 32)), word(LETTERS, 43), "wx" + word("0123456789abcdef", 16))


def sign(*parts):
    return hashlib.sha1("".join(sorted(parts)).encode()).hexdigest()


def escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def talk(base, file):
    messages = 0
    with open(file) as lines:
        known = [line.split() for line in lines]
    for number, (token, key, app_id) in enumerate(known):
        crypto = WeChatCrypto(token, key, app_id)
        for text in TEXTS:
            nonce, timestamp = word(string.digits, 9), "1713424427"
            plain = (
                "<xml><ToUserName>gh_1</ToUserName><FromUserName>o_1</FromUserName><CreateTime>1713424427</CreateTime>"
                f"<MsgType>text</MsgType><Content>{escaped(text)}</Content><MsgId>{messages}</MsgId></xml>"
            )
            sealed = ET.fromstring(crypto.encrypt_message(plain, nonce, timestamp))
            encrypt = sealed.findtext("Encrypt")
            query = urllib.parse.urlencode({
                "signature": sign(token, timestamp, nonce),
                "timestamp": timestamp,
                "nonce": nonce,
                "openid": "o_1",
                "encrypt_type": "aes",
                "msg_signature": sealed.findtext("MsgSignature"),
            })
            body = f"<xml><ToUserName>gh_1</ToUserName><Encrypt><![CDATA[{encrypt}]]></Encrypt></xml>"
            request = urllib.request.Request(f"{base}/{number}?{query}", data=body.encode())
            with urllib.request.urlopen(request, timeout=60) as response:
                answer = response.read().decode()
            outer = ET.fromstring(answer)
            opened = crypto.decrypt_message(
                answer, outer.findtext("MsgSignature"), outer.findtext("TimeStamp"), outer.findtext("Nonce")
            )
            said = ET.fromstring(opened).findtext("Content")
            assert said == text, (text, said)
            messages += 1
    print(f"{len(known)} accounts, {messages} messages")


if __name__ == "__main__":
    random.seed()
    accounts(int(sys.argv[2])) if sys.argv[1] == "accounts" else talk(sys.argv[2], sys.argv[3])
