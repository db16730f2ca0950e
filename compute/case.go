package compute

// Case is one input shape of an operation, kept for a reason.
type Case struct {
	Why     string
	In      []Shape
	Types   map[int]DType // of the inputs that are not F32
	Attr    any
	InPlace map[int]int // output index -> input index that it overwrites
	Addend  bool        // with a further input, added to the result
}

// caseOf describes a recorded node so that it can be run alone on scratch memory.
func caseOf(n *Node) Case {
	c := Case{Attr: n.Attr, Addend: n.HasAddend, Types: map[int]DType{}, InPlace: map[int]int{}}
	for i, t := range n.Inputs() {
		c.In = append(c.In, t.Shape)
		if t.DType != F32 {
			c.Types[i] = t.DType
		}
	}
	for o, y := range n.Out {
		for i, x := range n.In {
			if x.overlaps(y) {
				c.InPlace[o] = i
			}
		}
	}
	return c
}

// caseAt is where a case's node was recorded: nowhere.
const caseAt = "case"

// node makes a node of the case, its tensors where place puts them: inputs, addend, then the outputs that are not an input, then
// the workspace.
func (c Case) node(op *Op, place func(t DType, s Shape) *Tensor) (*Node, error) {
	n := &Node{Op: op, Attr: c.Attr, HasAddend: c.Addend, at: caseAt}
	for i, s := range c.In {
		n.In = append(n.In, place(c.Types[i], s))
	}
	shapes, err := op.Shapes(n.In, c.Attr)
	if err != nil {
		return nil, err
	}
	types := op.outTypes(n.In, c.Attr, len(shapes))
	if c.Addend {
		n.In = append(n.In, place(types[0], shapes[0]))
	}
	for o, s := range shapes {
		if i, ok := c.InPlace[o]; ok {
			n.Out = append(n.Out, n.In[i])
		} else {
			n.Out = append(n.Out, place(types[o], s))
		}
	}
	if op.Workspace != nil {
		if size := op.Workspace(n); size > 0 {
			n.Workspace = place(F32, Shape{size})
		}
	}
	return n, nil
}

// hasIDs says that an input is uint32.
func (c Case) hasIDs() bool {
	for _, t := range c.Types {
		if t == U32 {
			return true
		}
	}
	return false
}
