package advisory

type sentinel struct{}

func (*sentinel) stop() {}
