package main

func (a *asm) owners512() {}
