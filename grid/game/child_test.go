package game

func childMain() bool { return false }
