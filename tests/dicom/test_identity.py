"""Keys say nothing, and what names a woman is found and hidden."""

import pytest
from pydicom.dataset import Dataset

from bundle.dicom.identity import found_identity, identifying_words, keyed, masked, patient_key


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
            ("Low energy", []),
            ("", []),
        ],
    )
    def test_found(self, text, kinds):
        assert found_identity(text, self.words) == kinds

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("CESM ZWETSCHGE, 03.02.1951", "CESM ***, ***"),
            ("Anne-Lise", "***"),
            ("hosp-774411", "***"),
            ("recombined", "recombined"),
            ("seen 2019-12-24", "seen ***"),  # a date that the header does not know
            ("1.2.840.113619.2.401", "1.2.840.113619.2.401"),
        ],
    )
    def test_masked(self, text, said):
        assert masked(text, self.words) == said

    def test_short_words_and_words_of_the_field_name_nobody(self):
        assert identifying_words(header(PatientName="Low^Li", PatientID="7")) == {}

    def test_letters_that_change_their_length_in_lower_case(self):
        words = identifying_words(header(PatientName="İnci^Weiß"))
        assert masked("View of İNCI WEIß", words) == "View of *** ***"
