"""The registered names of WAVE codecs, shown of those that nothing here decodes.

Source: RFC 2361 appendix A and Microsoft's mmreg.h, the names without `WAVE_FORMAT_`, in lower case.
"""

from __future__ import annotations

_NAMES = {
    0x0000: "unknown", 0x0001: "pcm", 0x0002: "adpcm", 0x0003: "ieee_float", 0x0004: "vselp",
    0x0005: "ibm_cvsd", 0x0006: "alaw", 0x0007: "mulaw", 0x0008: "dts", 0x0009: "drm", 0x000A: "wmavoice9",
    0x0010: "oki_adpcm", 0x0011: "ima_adpcm",
    0x0012: "mediaspace_adpcm", 0x0013: "sierra_adpcm", 0x0014: "g723_adpcm", 0x0015: "digistd", 0x0016: "digifix",
    0x0017: "dialogic_oki_adpcm", 0x0018: "mediavision_adpcm", 0x0019: "cu_codec", 0x0020: "yamaha_adpcm",
    0x0021: "sonarc", 0x0022: "dspgroup_truespeech", 0x0023: "echosc1", 0x0024: "audiofile_af36", 0x0025: "aptx",
    0x0026: "audiofile_af10", 0x0027: "prosody_1612", 0x0028: "lrc", 0x0030: "dolby_ac2", 0x0031: "gsm610",
    0x0032: "msnaudio", 0x0033: "antex_adpcme", 0x0034: "control_res_vqlpc", 0x0035: "digireal", 0x0036: "digiadpcm",
    0x0037: "control_res_cr10", 0x0038: "nms_vbxadpcm", 0x0039: "cs_imaadpcm", 0x003A: "echosc3",
    0x003B: "rockwell_adpcm", 0x003C: "rockwell_digitalk", 0x003D: "xebec", 0x0040: "g721_adpcm", 0x0041: "g728_celp",
    0x0042: "msg723", 0x0043: "intel_g723_1", 0x0044: "intel_g729", 0x0045: "sharp_g726", 0x0050: "mpeg",
    0x0052: "rt24", 0x0053: "pac", 0x0055: "mpeglayer3", 0x0059: "lucent_g723", 0x0060: "cirrus", 0x0061: "espcm",
    0x0062: "voxware", 0x0063: "canopus_atrac", 0x0064: "g726_adpcm", 0x0065: "g722_adpcm", 0x0067: "dsat_display",
    0x0069: "voxware_byte_aligned", 0x0070: "voxware_ac8", 0x0071: "voxware_ac10", 0x0072: "voxware_ac16",
    0x0073: "voxware_ac20", 0x0074: "voxware_rt24", 0x0075: "voxware_rt29", 0x0076: "voxware_rt29hw",
    0x0077: "voxware_vr12", 0x0078: "voxware_vr18", 0x0079: "voxware_tq40", 0x007A: "voxware_sc3",
    0x0080: "softsound", 0x0081: "voxware_tq60", 0x0082: "msrt24", 0x0083: "g729a", 0x0084: "mvi_mvi2",
    0x0085: "df_g726", 0x0086: "df_gsm610", 0x0088: "isiaudio", 0x0089: "onlive", 0x0091: "sbc24",
    0x0092: "dolby_ac3_spdif", 0x0093: "mediasonic_g723", 0x0094: "prosody_8kbps", 0x0097: "zyxel_adpcm",
    0x0098: "philips_lpcbb", 0x0099: "packed", 0x00A0: "malden_phonytalk", 0x00A1: "racal_recorder_gsm",
    0x00A2: "racal_recorder_g720_a", 0x00A3: "racal_recorder_g723_1", 0x00A4: "racal_recorder_tetra_acelp",
    0x00B0: "nec_aac", 0x00FF: "raw_aac1", 0x0100: "rhetorex_adpcm", 0x0101: "irat", 0x0111: "vivo_g723",
    0x0112: "vivo_siren", 0x0120: "philips_celp", 0x0121: "philips_grundig", 0x0123: "digital_g723",
    0x0125: "sanyo_ld_adpcm", 0x0130: "siprolab_aceplnet", 0x0131: "siprolab_acelp4800",
    0x0132: "siprolab_acelp8v3", 0x0133: "siprolab_g729", 0x0134: "siprolab_g729a", 0x0135: "siprolab_kelvin",
    0x0136: "voiceage_amr", 0x0140: "g726adpcm", 0x0150: "qualcomm_purevoice", 0x0151: "qualcomm_halfrate",
    0x0155: "tubgsm", 0x0160: "msaudio1", 0x0161: "wmaudio2", 0x0162: "wmaudio3", 0x0163: "wmaudio_lossless",
    0x0200: "creative_adpcm", 0x0285: "norcom_voice_systems_adpcm", 0x1000: "oligsm", 0x1001: "oliadpcm",
    0x1002: "olicelp", 0x1003: "olisbc", 0x1004: "oliopr", 0x1100: "lh_codec", 0x1101: "lh_codec_celp",
    0x1400: "norris", 0x1600: "mpeg_adts_aac", 0x1602: "mpeg_loas", 0x1610: "mpeg_heaac", 0x2000: "dvm",
    0x674F: "ogg_vorbis_mode_1", 0x6750: "ogg_vorbis_mode_2", 0x6751: "ogg_vorbis_mode_3",
    0x676F: "ogg_vorbis_mode_1_plus", 0x6770: "ogg_vorbis_mode_2_plus", 0x6771: "ogg_vorbis_mode_3_plus",
    0x7A21: "gsm_amr_cbr", 0x7A22: "gsm_amr_vbr_sid", 0xF1AC: "flac",
}  # fmt: skip


def registered_name(tag: int) -> str:
    """`g726_adpcm` for 0x0064; `wave_0x1234` for a codec without one."""
    return _NAMES.get(tag) or f"wave_0x{tag:04x}"
