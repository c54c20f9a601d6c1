"""Promise 12: a body that must be inspected and cannot be is refused. What is inspected so far are forms, which can say
another method than the request's own."""
import gzip

from promise import api, run


def test_a_form_that_cannot_be_read_is_refused_and_one_that_can_is_not(lab):
    upstream, _ = api(lab)
    done = run(lab, """
import gzip
form = LEASED + "Content-Type: application/x-www-form-urlencoded\\r\\n"
multi = LEASED + 'Content-Type: multipart/form-data; boundary="b"\\r\\n'
part = b'--b\\r\\nContent-Disposition: form-data; name="_method"\\r\\n\\r\\nDELETE\\r\\n--b--\\r\\n'
secret = b"a=1&_method=DELETE"
for name, headers, body in (("gzip", form + "Content-Encoding: gzip\\r\\n", gzip.compress(secret)),
                            ("unknown", form + "Content-Encoding: x-own\\r\\n", b"a=1"),
                            ("plain", form, secret), ("percent", form, b"a=1&%5Fmeth%6fd=DELETE"), ("multipart", multi, part),
                            ("late", form, b"a=" + b"x" * 100000 + b"&_method=DELETE")):
    say(name=name, **once(method="POST", headers=headers, body=body))
say(name="fine", **once(method="POST", headers=form, body=b"a=1&method=DELETE"))
""")
    by = {what["name"]: what["status"] for what in done.said}
    assert by.pop("fine") == 200 and len(by) == 6, done.text
    assert all(status == 0 or 400 <= status < 500 for status in by.values()), by
    whole = [request.body for request in upstream.requests]
    assert [body for body in whole if b"DELETE" in body] == [b"a=1&method=DELETE"], "the rest was never whole upstream"
    assert not [body for body in whole if body[:2] == gzip.compress(b"")[:2]]
