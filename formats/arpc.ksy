meta:
  id: arpc
  title: ARPC progressive image, version 1
  file-extension: arpc
  license: Apache-2.0
  ks-version: '0.10'
  endian: le
  bit-endian: be
doc: |
  Twin of arpc-v1.md, which is normative. Files cut after their header parse; `is_whole` tells which segments arrived.
  Not checked here: the header check byte, the file check, shortest forms and ranges of numbers and captions, an ext
  byte of 0, bits of ext and mode that exclude each other or belong to another codec, UTF-8, types and order of chunks,
  trailing bytes.
seq:
  - id: magic
    contents: [0xa7, 0x41, 0x0a]
  - id: version_minus_1
    type: b2
    valid: 0
  - id: codec
    type: b3
    enum: codec
    valid:
      any-of: ['codec::arpc', 'codec::progic', 'codec::hpac']
  - id: has_ext
    type: b1
  - id: colour
    type: b2
    enum: colour
    valid:
      any-of: ['colour::rgb', 'colour::grey']
  - id: ext
    type: ext
    if: has_ext
  - id: model_id
    type: number
  - id: width_minus_1
    type: number
  - id: height_minus_1
    type: number
  - id: mode
    type: u1
    valid:
      expr: '(codec == codec::arpc and (_ & 0x30) == 0 and 1 <= (_ & 15)) or (codec == codec::progic and 1 <= _ and _ <= 7) or (codec == codec::hpac and (_ & 0x90) == 0 and (_ & 15) <= 12)'
  - id: phases
    type: u1
    if: has_ext and ext.has_partial
    valid:
      min: 1
      max: 3
  - id: caption
    type: caption
    if: has_ext and ext.has_caption
  - id: check
    type: u1
    doc: Low byte of the CRC-32 of all bytes before it.
  - id: segments
    type: segment
    repeat: until
    repeat-until: _index + 1 == num_segments or _io.eof
    if: not _io.eof
  - id: tail
    type: tail
    if: has_ext and ext.has_tail and not _io.eof
  - id: file_check
    size: '(4 < _io.size - _io.pos ? 4 : _io.size - _io.pos)'
    if: codec == codec::hpac
    doc: CRC-32 of all bytes before it, highest byte first.
instances:
  num_segments:
    value: '(codec == codec::hpac ? 1 : mode & 15)'
  width:
    value: width_minus_1.value + 1
  height:
    value: height_minus_1.value + 1
types:
  number:
    doc: Unsigned LEB128 of at most 32 bits.
    seq:
      - id: groups
        type: group
        repeat: until
        repeat-until: not _.has_more or _io.eof
    instances:
      value:
        value: >-
          groups[0].value
          + (groups.size > 1 ? groups[1].value << 7 : 0)
          + (groups.size > 2 ? groups[2].value << 14 : 0)
          + (groups.size > 3 ? groups[3].value << 21 : 0)
          + (groups.size > 4 ? groups[4].value << 28 : 0)
      is_whole:
        value: not groups[groups.size - 1].has_more
    types:
      group:
        seq:
          - id: has_more
            type: b1
          - id: value
            type: b7
  ext:
    seq:
      - id: reserved
        type: b1
        valid: false
      - id: has_holes
        type: b1
        doc: Segments of stages begin with a map of the positions that arrived.
      - id: later
        type: b1
        valid: false
        doc: Adapters.
      - id: has_guards
        type: b1
        doc: The prior computes in floating point; streams of scales begin with a list of bits near rounding edges.
      - id: is_tiled
        type: b1
      - id: has_partial
        type: b1
      - id: has_tail
        type: b1
      - id: has_caption
        type: b1
  caption:
    seq:
      - id: len_and_way
        type: number
      - id: text
        type: str
        size: len_and_way.value >> 1
        encoding: UTF-8
        if: not is_coded
      - id: coded
        size: len_and_way.value >> 1
        doc: Stands for text by the model of arpc-v1.md, which Kaitai Struct cannot express.
        if: is_coded
    instances:
      is_coded:
        value: (len_and_way.value & 1) != 0
  segment:
    doc: Coded bits of one scale or stage; shorter than announced where the file was cut.
    seq:
      - id: len_data
        type: number
      - id: data
        size: '(len_data.value < _io.size - _io.pos ? len_data.value : _io.size - _io.pos)'
    instances:
      is_whole:
        value: len_data.is_whole and data.length == len_data.value
  tail:
    seq:
      - id: num_chunks
        type: u1
        valid:
          min: 1
          max: 127
      - id: chunks
        type: chunk
        repeat: until
        repeat-until: _index + 1 == num_chunks or _io.eof
        if: not _io.eof
  chunk:
    seq:
      - id: is_critical
        type: b1
      - id: is_private
        type: b1
      - id: type_number
        type: b6
        doc: |
          Where not private: 1 ICC, 2 EXIF, 3 XMP, 4 alpha (critical), 6 cICP, 7 gAMA, 8 cHRM, 9 sRGB, 10 resolution,
          11 texts, 12 IPTC.
      - id: len_data
        type: number
        if: not _io.eof
      - id: data
        size: '(len_data.value < _io.size - _io.pos ? len_data.value : _io.size - _io.pos)'
        if: not _io.eof
  resolution:
    doc: Content of a chunk of type 10.
    seq:
      - id: unit
        type: u1
        enum: unit
      - id: x
        type: ratio
      - id: y
        type: ratio
  ratio:
    seq:
      - id: numerator
        type: number
      - id: denominator
        type: number
  texts:
    doc: Content of a chunk of type 11.
    seq:
      - id: texts
        type: text
        repeat: until
        repeat-until: _io.eof
  text:
    seq:
      - id: keyword
        type: words
      - id: language
        type: words
      - id: translated
        type: words
      - id: text
        type: words
  words:
    seq:
      - id: len_value
        type: number
      - id: value
        type: str
        size: len_value.value
        encoding: UTF-8
enums:
  unit:
    0: none
    1: inch
    2: centimetre
    3: metre
  codec:
    1: arpc
    2: progic
    3: hpac
  colour:
    0: rgb
    1: grey
