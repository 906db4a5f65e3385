"""Keys say nothing, and what names a woman is found and hidden."""

import pytest
from pydicom.dataset import Dataset

from bundle.dicom.identity import bare, found_identity, holds_date, identifying_words, keyed, masked, patient_key


def header(**entries):
    ds = Dataset()
    for keyword, value in entries.items():
        setattr(ds, keyword, value)
    return ds


WOMAN = {
    "PatientName": "Zwetschgé^Anne-Lise",
    "PatientID": "HOSP-774411",
    "PatientBirthDate": "19510203",
    "StudyDate": "20240506",
    "AccessionNumber": "ACC99",
}


class TestKeys:
    def test_one_woman_has_one_key_and_another_another(self):
        first, again = patient_key(header(**WOMAN)), patient_key(header(PatientID=" HOSP-774411 "))
        assert first == again
        assert first != patient_key(header(PatientID="HOSP-774412"))
        assert first[1] == "patient ID"

    def test_a_key_is_a_keyed_hash(self):
        # RFC 4231, test case 2: key "Jefe", data "what do ya want for nothing?"
        assert keyed("what do ya want for nothing?", "Jefe") == "5bdcc146bf60"

    def test_the_salt_changes_it(self):
        assert patient_key(header(**WOMAN), "a") != patient_key(header(**WOMAN), "b")

    def test_what_stands_in_for_an_id(self):
        without = {**WOMAN, "PatientID": ""}
        assert patient_key(header(**without))[1] == "name and birth date"
        assert patient_key(header(StudyInstanceUID="1.2.3"))[1] == "study"
        assert patient_key(header()) == ("", "")

    def test_nothing_of_the_header_stands_in_it(self):
        assert found_identity(patient_key(header(**WOMAN))[0], identifying_words(header(**WOMAN))) == []


class TestWords:
    words = identifying_words(header(**WOMAN))

    @pytest.mark.parametrize(
        ("text", "kinds"),
        [
            ("CESM ZWETSCHGE right", ["name"]),
            ("cesm_zwetschgé_rcc.dcm", ["name"]),
            ("Zwetschgenkuchen", []),  # a part of another word
            ("xHOSP-774411x", ["patient ID"]),
            ("born 03.02.1951", ["date"]),
            ("20240506", ["date"]),
            ("order acc99", ["exam number"]),
            ("HOSP 774411", ["patient ID"]),
            ("hosp_774411.dcm", ["patient ID"]),
            ("no 774411", ["patient ID"]),
            ("Zwetschge\u0301", ["name"]),  # the accent is a letter of its own, as macOS writes names of files
            ("ANNE LISE", ["name"]),
            ("Lise", ["name"]),
            ("Anne1951", []),  # four letters: with a digit beside them they may be a code
            ("ZWETSCHGE1951", ["name"]),
            ("on 3.2.1951", ["date"]),
            ("on 2/3/1951", ["date"]),
            ("03-02-1951", ["date"]),
            ("03021951", ["date"]),
            ("May 6, 2024", ["date"]),
            ("6 May 2024", ["date"]),
            ("7 May 2024", []),  # a day that the header does not know raises no alarm
            ("1.2.840.6.5.2024", []),  # nor does a part of a UID
            ("16.5.2024", []),
            ("Low energy", []),
            ("", []),
        ],
    )
    def test_found(self, text, kinds):
        assert found_identity(text, self.words) == kinds
        assert not kinds or any(bare(word) in bare(text) for word in self.words)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("CESM ZWETSCHGE, 03.02.1951", "CESM ***, ***"),
            ("Anne-Lise", "***"),
            ("hosp-774411", "***"),
            ("recombined", "recombined"),
            ("seen 2019-12-24", "seen ***"),  # a date that the header does not know
            ("1.2.840.113619.2.401", "1.2.840.113619.2.401"),
            ("1.2.840.1.2.2019.4", "1.2.840.1.2.2019.4"),
            ("a map (4, 5, 2019), V2.10.20, 49 kVp", "a map (4, 5, 2019), V2.10.20, 49 kVp"),
            ("Zwetschge\u0301, a cafe\u0301", "***, a cafe\u0301"),
            ("HOSP 774411", "***"),
        ],
    )
    def test_masked(self, text, said):
        assert masked(text, self.words) == said

    @pytest.mark.parametrize(
        "day",
        ["24.12.2019", "4.2.2019", "12/24/2019", "4/2/2019", "24-12-2019", "2019-12-24", "2019/2/4", "20191224",
         "20191224093000", "4. 2. 2019", "Dec 24 2019", "December 24th, 2019", "24 Dec 2019", "24. Dezember 2019",
         "4 febbraio 2019", "4 de mayo de 2019", "24-DEC-2019"],
    )  # fmt: skip
    def test_any_day_is_masked(self, day):
        assert masked(f"seen {day}, again", {}) == "seen ***, again"
        assert found_identity(day, self.words) == []
        assert holds_date(f"seen {day}, again")

    @pytest.mark.parametrize("text", ["1.2.840.1.2.2019.4", "V2.10.20, 49 kVp", "399162004", ""])
    def test_what_is_no_day(self, text):
        assert not holds_date(text)

    @pytest.mark.parametrize(
        "name", ["Müller-Lüdenscheidt", "Mueller-Luedenscheidt", "MU\u0308LLER-LU\u0308DENSCHEIDT"]
    )
    @pytest.mark.parametrize(
        "text", ["Lüdenscheidt", "luedenscheidt", "lu\u0308denscheidt", "Müller", "MUELLER", "Muller"]
    )
    def test_every_spelling_of_a_half_of_a_double_name(self, name, text):
        words = identifying_words(header(PatientName=f"{name}^Eva"))
        assert masked(f"by {text} left", words) == "by *** left"
        assert found_identity(text, words) == ["name"]

    @pytest.mark.parametrize(("name", "text"), [("Weiß", "WEISS"), ("Weiss", "Weiß"), ("Sørensen", "Soerensen")])
    def test_other_letters_that_are_spelled(self, name, text):
        assert masked(text, identifying_words(header(PatientName=name))) == "***"

    def test_short_words_are_hidden_where_they_stand_alone_and_raise_no_alarm(self):
        woman = header(PatientName="WU^LI", PatientID="42", OtherPatientIDs=["A7", "B-1"])
        text = "WU LI 42 b1: 420 views, A7, light, wu_li"
        assert masked(text, identifying_words(woman, shortest=2)) == "*** *** *** ***: 420 views, ***, light, ***_***"
        assert found_identity(text, identifying_words(woman)) == []

    def test_short_words_and_words_of_the_field_name_nobody(self):
        assert identifying_words(header(PatientName="Low^Li", PatientID="7")) == {}

    def test_other_ids_and_their_issuer(self):
        woman = header(OtherPatientIDsSequence=[header(PatientID="OLD-5522"), Dataset()], IssuerOfPatientID="Mercy")
        assert identifying_words(woman) == {"old-5522": "patient ID", "mercy": "issuer"}
        assert masked("old 5522 of Mercy", identifying_words(woman)) == "*** of ***"
        same = header(PatientID="MERCY", IssuerOfPatientID="Mercy")
        assert identifying_words(same) == {"mercy": "patient ID"}

    def test_letters_that_change_their_length_in_lower_case(self):
        words = identifying_words(header(PatientName="İnci^Weiß"))
        assert masked("View of İNCI WEIß", words) == "View of *** ***"
