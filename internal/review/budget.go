package review

// budget is what may still be looked at for what an author is told of an object: bounds of each list of it multiply. Whoever finds nothing
// left stops telling, and refuses nothing for it.
type budget int

// newBudget is that of one object, as many as the pairs that it may ask for.
func newBudget() *budget {
	out := budget(maxPairs)
	return &out
}

// spend takes off what is about to be looked at; false where so much is not left.
func (b *budget) spend(comparisons int) bool {
	*b = max(*b-budget(comparisons), -1)
	return *b >= 0
}

// spent says whether something was not looked at.
func (b *budget) spent() bool { return *b < 0 }
