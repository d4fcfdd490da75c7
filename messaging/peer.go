package messaging

type peer struct{}
