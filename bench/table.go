package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// introduce prints, and writes beside the tables, on what the figures were measured.
func (l *lab) introduce() error {
	text := l.describe()
	fmt.Println(text)
	if l.charts == "" {
		return nil
	}
	if err := os.MkdirAll(l.charts, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(l.charts, "run.md"), []byte(text), 0o644)
}

// publish prints a table, and writes it and its chart where the flags say.
func publish(s settings, m measure, r result) error {
	table := render(m, r)
	fmt.Println(table)
	if s.charts == "" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(s.charts, m.name+".md"), []byte(table), 0o644); err != nil {
		return err
	}
	return drawChart(m, r, filepath.Join(s.charts, m.name+".svg"))
}

// render makes the table of a measure, in Markdown that can be read as it is.
func render(m measure, r result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n%s\n\n", m.title, m.how)
	head := []string{"contestant", "gives", heading(m.columns[0]), "smallest–largest round"}
	if m.against != nil {
		head = append(head, "ratio")
	}
	for _, col := range m.columns[1:] {
		head = append(head, heading(col))
	}
	rows := [][]string{head}
	var notes []string
	for _, c := range r.field {
		row := []string{c.name, c.gives.String()}
		if err := r.failure(c); err != nil {
			row = append(row, err.Error())
			notes = append(notes, c.name+": "+oneLine(r.reason(c)))
		} else {
			row = append(row, r.cells(m, c)...)
		}
		for len(row) < len(head) {
			row = append(row, "")
		}
		rows = append(rows, row)
	}
	writeRows(&b, rows)
	for _, note := range notes {
		fmt.Fprintf(&b, "\n- %s\n", note)
	}
	return b.String()
}

func heading(col column) string {
	if col.unit.name == "" {
		return col.name
	}
	return col.name + ", " + col.unit.name
}

func (r result) cells(m measure, c contestant) []string {
	head := m.columns[0]
	spread := "–"
	if figures := r.byRound(c, head); len(figures) > 0 {
		spread = head.unit.format(slices.Min(figures)) + "–" + head.unit.format(slices.Max(figures))
	}
	cells := []string{head.unit.format(r.value(c, head)), spread}
	if m.against != nil {
		cells = append(cells, ratios.format(r.ratio(c, m.against(c), head)))
	}
	for _, col := range m.columns[1:] {
		cells = append(cells, col.unit.format(r.value(c, col)))
	}
	return cells
}

// failure is what stands in the row of a contestant that has no figures, and reason why.
func (r result) failure(c contestant) error {
	switch {
	case r.absent[c.name] != nil:
		return fmt.Errorf("not run, see below")
	case r.errs[c.name] != nil:
		return fmt.Errorf("FAILED, see below")
	}
	return nil
}

func (r result) reason(c contestant) error {
	if err := r.absent[c.name]; err != nil {
		return err
	}
	return r.errs[c.name]
}

// writeRows aligns the columns, the first two to the left.
func writeRows(b *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for n, row := range rows {
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i < 2 {
				fmt.Fprintf(b, "| %s%s ", cell, pad)
			} else {
				fmt.Fprintf(b, "| %s%s ", pad, cell)
			}
		}
		b.WriteString("|\n")
		if n > 0 {
			continue
		}
		for i, width := range widths {
			if i < 2 {
				fmt.Fprintf(b, "|%s", strings.Repeat("-", width+2))
			} else {
				fmt.Fprintf(b, "|%s:", strings.Repeat("-", width+1))
			}
		}
		b.WriteString("|\n")
	}
}
