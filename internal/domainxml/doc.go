// Package domainxml reads of a guest's description what says which guest it is,
// and bounds what a description may be.
//
//	guest, err := domainxml.Read(text)
//
// Descriptions come from other hosts. They are read token by token, in memory that does not grow
// with them, and no tree is built: the same bytes as a tree can take two thousand times their size.
// Once Read has passed a description, its size, depth, elements and attributes are within bounds,
// and it can be given to a decoder that builds one.
//
// What is read must be what libvirt reads (virDomainDefParseXML, by libxml2). Where the two parsers
// might differ, such as in the encoding, in entities or in what makes up a name, the description is
// refused. The package's tests compare the two.
//
// What the package does not do: judge what a description asks for.
package domainxml
