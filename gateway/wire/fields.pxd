cpdef bint is_plain(str text)
cpdef bytes field_line(str name, str value)
cpdef tuple checked_field(str name, str value)
